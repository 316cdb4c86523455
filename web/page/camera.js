// The camera: its picture, its light, and which of several it is.
//
//     const camera = await openCamera(video, { id: remembered, onEnd: (why) => ... });
//     const bitmap = await camera.frame();
//     camera.close();

const WANTED = { width: { ideal: 1920 }, height: { ideal: 1080 } }; // enough to read a card's number at arm's length

/**
 * Asks for the camera and shows it. onEnd(why) is called when it goes away by itself. Throws an Error with a sentence
 * for the person.
 * @param {HTMLVideoElement} video
 * @param {{id?: string, onEnd: (why: string) => void}} options
 */
export async function openCamera(video, { id = "", onEnd }) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers allow the camera only on https and on localhost. Choose a photo instead.");
  }
  const stream = await asked(id);
  const [track] = stream.getVideoTracks();
  let isOpen = true;
  let awake = /** @type {WakeLockSentinel | null} */ (null); // a phone above a table would go to sleep
  const close = () => {
    isOpen = false;
    for (const running of stream.getTracks()) running.stop();
    if (video.srcObject === stream) video.srcObject = null; // else another start has the picture already
    awake?.release();
    document.removeEventListener("visibilitychange", hidden);
  };
  const end = (why) => {
    if (!isOpen) return;
    close();
    onEnd(why);
  };
  const hidden = () => document.hidden && end("The camera was stopped while the page was hidden.");
  document.addEventListener("visibilitychange", hidden);
  track.addEventListener("ended", () => end("The camera was taken away."));
  video.srcObject = stream;
  try {
    await video.play();
  } catch {
    close();
    throw new Error("The camera gives no picture. Choose a photo instead.");
  }
  awake = await navigator.wakeLock?.request("screen").catch(() => null) ?? null;
  const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
  const cameras = devices.filter(({ kind }) => kind === "videoinput");
  /** @type {any} */
  const abilities = track.getCapabilities?.() ?? {};
  return {
    id: track.getSettings().deviceId ?? "",
    cameras: cameras.map(({ deviceId, label }, at) => ({ id: deviceId, label: label || `Camera ${at + 1}` })),
    hasLight: Boolean(abilities.torch),
    /** @param {boolean} on */
    light: (on) => track.applyConstraints({ advanced: [/** @type {any} */ ({ torch: on })] }),
    frame: () => createImageBitmap(video),
    close,
  };
}

/** @param {string} id */
async function asked(id) {
  const choice = id ? { deviceId: { exact: id } } : { facingMode: { ideal: "environment" } };
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { ...choice, ...WANTED } });
  } catch (error) {
    if (id && error.name === "OverconstrainedError") return asked(""); // the remembered camera is gone
    throw new Error(error.name === "NotAllowedError"
      ? "The camera was not allowed. Allow it in the settings of the browser, or choose a photo instead."
      : error.name === "NotReadableError" ? "Another program uses the camera. Close it, or choose a photo instead."
        : "There is no camera that can be used. Choose a photo instead.");
  }
}
