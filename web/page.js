// The page: connects what a person types, drops or holds up to search.js, and shows the answers.

import { startCamera } from "./camera.js";
import { openIndex } from "./search.js";

const at = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const LOADING = { cards: "Loading the cards", vectors: "Loading the vectors", model: "Loading the model" };
// Set by scripts/serve.py where the pictures lie on this machine; they come from Scryfall otherwise.
const LOCAL_PICTURES = document.body.dataset.pictures;

let index = null;
let camera = null;
let asked = 0; // what is shown answers the last question only

async function open() {
  try {
    index = await openIndex("./", showProgress);
  } catch (error) {
    at("about").textContent = "No cards";
    at("progress").hidden = true;
    return showError(error.message);
  }
  const { cards, model } = index.about;
  at("about").textContent = `${number.format(cards)} card${cards === 1 ? "" : "s"} · ${model}`;
  at("progress").hidden = true;
  at("search").hidden = false;
  at("drop").hidden = !index.about.pictures;
  at("text").focus();
  if (at("text").value) find();
}

function showProgress({ what, part }) {
  at("progress").value = part;
  at("progress").hidden = part === 1;
  if (!index) at("about").textContent = LOADING[what];
  else if (part < 1) showHeading(LOADING[what]);
}

function showError(message) {
  at("error").textContent = message;
  at("error").hidden = !message;
}

// Asks, and shows the answer unless something else was asked meanwhile.
async function ask(question, show) {
  const mine = ++asked;
  showError("");
  try {
    const answer = await question();
    if (mine === asked) show(answer);
  } catch (error) {
    if (mine !== asked) return;
    at("results").hidden = true;
    showError(error.message);
  }
}

function find() {
  const text = at("text").value.trim();
  if (!text) return void (at("results").hidden = true);
  ask(() => index.find(text), ({ total, matches }) => {
    const shown = total > matches.length ? `, the first ${matches.length}` : "";
    showMatches(`${total ? number.format(total) : "No"} card${total === 1 ? "" : "s"} with “${text}”${shown}`, matches);
  });
}

function namePicture(file) {
  if (!file) return;
  if (!index.about.pictures) return showError("This index was exported without its model: make serve adds it.");
  at("text").value = "";
  showMatches("Looking at the picture", [], file);
  ask(() => index.name(file), ({ accepted, matches, likeness }) => {
    const [best] = matches;
    showMatches(accepted ? `Recognised: ${best.record.name}` : "Not sure. Most like:", matches, file);
    at("results").dataset.likeness = likeness.toFixed(3);
  });
}

function moreLike(row, name) {
  at("text").value = "";
  ask(() => index.like(row), (matches) => {
    showMatches(`More like ${name}`, matches);
    at("heading").focus();
  });
}

function showHeading(text) {
  if (at("heading").textContent !== text) at("heading").textContent = text;
}

function showMatches(heading, matches, picture = null) {
  at("results").hidden = false;
  showHeading(heading);
  URL.revokeObjectURL(at("asked").src);
  at("asked").hidden = !picture;
  if (picture) at("asked").src = URL.createObjectURL(picture);
  at("cards").replaceChildren(...matches.map(cardOf));
}

function cardOf({ row, score, record }) {
  const card = at("card").content.firstElementChild.cloneNode(true);
  const [picture, scryfall] = card.querySelectorAll("a");
  const image = picture.firstElementChild;
  image.alt = record.name;
  image.onerror = () => picture.classList.add("missing");
  image.src = LOCAL_PICTURES ? LOCAL_PICTURES + encodeURIComponent(record.image_url) : record.card_url;
  picture.dataset.name = record.name;
  for (const link of [picture, scryfall]) {
    if (/^https?:\/\//.test(record.scryfall_uri)) link.href = record.scryfall_uri;
  }
  scryfall.ariaLabel = `${record.name} on Scryfall`;
  card.querySelector("h3").textContent = record.name;
  card.querySelector(".set").textContent = `${record.set.toUpperCase()} ${record.collector_number}`;
  card.querySelector(".artist").textContent = record.artist ? ` · Art by ${record.artist}` : "";
  card.querySelector(".score").hidden = score === undefined;
  if (score !== undefined) {
    card.querySelector("meter").value = score;
    card.querySelector(".score span").textContent = score.toFixed(3);
  }
  const more = card.querySelector("button");
  more.ariaLabel = `More like ${record.name}`;
  more.onclick = () => moreLike(row, record.name);
  return card;
}

async function useCamera() {
  stopCamera();
  showError("");
  at("results").hidden = true;
  at("camera").hidden = false;
  at("verdict").textContent = "Waiting for the camera";
  try {
    camera = await startCamera(at("video"), at("guide"), index, showSeen, stopCamera);
    at("camera-stop").focus();
  } catch (error) {
    stopCamera();
    showError(error.message);
  }
}

function stopCamera(why = "") {
  if (!at("camera").hidden && camera) at("camera-start").focus();
  camera?.stop();
  camera = null;
  at("camera").hidden = true;
  at("best").replaceChildren();
  if (why) showError(why);
}

let seen = "";

function showSeen({ accepted, matches }) {
  const [best] = matches;
  const verdict = accepted ? `Recognised: ${best.record.name}` : "Not sure. Hold a card inside the frame.";
  if (at("verdict").textContent !== verdict) at("verdict").textContent = verdict;
  at("camera").classList.toggle("recognised", accepted);
  const now = `${best.row} ${accepted}`;
  if (now !== seen || !at("best").children.length) at("best").replaceChildren(cardOf(best));
  seen = now;
  at("best").querySelector(".score span").textContent = best.score.toFixed(3);
}

at("search").addEventListener("submit", (event) => event.preventDefault());
at("text").addEventListener("input", () => index && find());
at("file").addEventListener("change", ({ target }) => {
  namePicture(target.files[0]);
  target.value = "";
});
at("camera-start").addEventListener("click", useCamera);
at("camera-stop").addEventListener("click", () => stopCamera());
document.addEventListener("keydown", ({ key }) => key === "Escape" && camera && stopCamera());
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
});
document.addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  if (index) namePicture(event.dataTransfer.files[0]);
});
document.addEventListener("paste", ({ clipboardData }) => index && namePicture(clipboardData.files[0]));

open();
