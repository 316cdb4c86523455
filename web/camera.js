// Names the card that is held in front of the camera, inside a frame. It looks at one picture after the other.

const CARD = 63 / 88; // width to height
const FRAME = 0.84; // the frame's height by the picture's, or its width by the picture's where that is the tighter
const CARD_HEIGHT = 400; // pixels, to which the frame is reduced: models look at 224

// Asks for the camera and starts. onAnswer gets the answer of index.name() to each picture. onEnd(why) is called when
// the camera goes away or the page is hidden. Resolves to {stop}. Throws an Error with a sentence for the person.
export async function startCamera(video, guide, index, onAnswer, onEnd) {
  if (!navigator.mediaDevices) throw new Error("The camera needs https or localhost. Choose a picture instead.");
  const wanted = { video: { facingMode: "environment", width: { ideal: 1280 } } };
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia(wanted);
  } catch (error) {
    throw new Error(error.name === "NotAllowedError" ? "The camera was not allowed. Choose a picture instead."
      : "There is no camera that can be used. Choose a picture instead.");
  }
  let running = true;
  const stop = () => {
    running = false;
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    document.removeEventListener("visibilitychange", hidden);
    video.removeEventListener("resize", turned);
  };
  const end = (why) => {
    if (!running) return;
    stop();
    onEnd(why);
  };
  const hidden = () => document.hidden && end("The camera was stopped while the page was hidden.");
  const turned = () => showGuide(video, guide);
  document.addEventListener("visibilitychange", hidden);
  video.addEventListener("resize", turned);
  stream.getTracks()[0].addEventListener("ended", () => end("The camera was taken away."));
  video.srcObject = stream;
  try {
    await video.play();
  } catch {
    stop();
    throw new Error("The camera gives no picture. Choose a picture instead.");
  }
  turned();
  look();
  return { stop };

  async function look() {
    const canvas = document.createElement("canvas");
    try {
      while (running) {
        const answer = await index.name(pictureOf(video, canvas), { k: 1, frame: frameIn(canvas) });
        if (running) onAnswer(answer);
        await new Promise((next) => requestAnimationFrame(next));
      }
    } catch (error) {
      end(error.message);
    }
  }
}

// The picture that the camera sees now, no larger than recognition needs. The canvas gets the same size.
function pictureOf(video, canvas) {
  const { videoWidth: width, videoHeight: height } = video;
  const scale = Math.min(1, CARD_HEIGHT / frameIn({ width, height }).height);
  [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

// The frame for the card in a picture of this size.
function frameIn({ width, height }) {
  const high = FRAME * Math.min(height, width / CARD);
  return { x: (width - high * CARD) / 2, y: (height - high) / 2, width: high * CARD, height: high };
}

function showGuide(video, guide) {
  const { videoWidth, videoHeight } = video;
  const { x, y, width, height } = frameIn({ width: videoWidth, height: videoHeight });
  const percent = (part, total) => `${(100 * part) / total}%`;
  Object.assign(guide.style, {
    left: percent(x, videoWidth), top: percent(y, videoHeight),
    width: percent(width, videoWidth), height: percent(height, videoHeight),
  });
}
