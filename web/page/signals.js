// Tells by sound and vibration what the camera saw, for eyes that look at the cards.
//
//     signal("recognised");                    // one high tone; "review" a low one, "unknown" two low ones

import { setting } from "./settings.js";

export const sound = setting("sound", "on");
export const vibration = setting("vibration", "on");

const TONES = { recognised: [880], review: [440], unknown: [330, 262] }; // Hz
const SECONDS = 0.09;
const PULSES = { recognised: [40], review: [40, 60, 40], unknown: [120] }; // milliseconds

/** @type {AudioContext} */
let audio;

/** @param {string} what */
export function signal(what) {
  // Browsers allow it only after a tap.
  if (vibration.get() === "on" && navigator.userActivation?.hasBeenActive) navigator.vibrate?.(PULSES[what]);
  if (sound.get() === "on") play(TONES[what]);
}

function play(tones) {
  audio ??= new AudioContext();
  audio.resume(); // browsers stop it until the first tap
  tones.forEach((tone, at) => {
    const [source, volume] = [audio.createOscillator(), audio.createGain()];
    source.frequency.value = tone;
    const start = audio.currentTime + at * SECONDS;
    volume.gain.setValueAtTime(0.15, start);
    volume.gain.exponentialRampToValueAtTime(0.001, start + SECONDS);
    source.connect(volume).connect(audio.destination);
    source.start(start);
    source.stop(start + SECONDS);
  });
}
