// The page. It sends to search.js what a person types, drops or holds up to the camera, and shows the answers.

import { abilities } from "./abilities.js";
import { startCamera } from "./camera.js";
import { openIndex } from "./search.js";

const at = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const LOADING = { cards: "Loading the cards", vectors: "Loading the vectors", model: "Loading the model" };
// scripts/serve.py sets this where it has the card pictures on this machine. Else they come from Scryfall.
const LOCAL_PICTURES = document.body.dataset.pictures;
const { lacking } = abilities();

let index = null;
let summary = "No cards";
let asked = 0; // counts the questions: only the answer to the last one is shown
let camera = null;
let started = 0; // counts the starts of the camera: permission may come late, and only the last start counts

async function open() {
  showError("");
  try {
    index = await openIndex("./", showProgress);
  } catch (error) {
    showLoaded();
    return showError(error.message);
  }
  const { cards, model } = index.about;
  summary = `${number.format(cards)} card${cards === 1 ? "" : "s"} · ${model}`;
  showLoaded();
  at("search").hidden = false;
  at("drop").hidden = !index.about.pictures;
  if (matchMedia("(pointer: fine)").matches) at("text").focus(); // on a phone, the keyboard would cover the page
  if (at("text").value) find();
}

function showProgress({ what, part }) {
  if (at("error").dataset.waiting) showError(""); // start.js said that nothing arrives
  if (index && part === 1) return showLoaded();
  at("progress").value = part;
  at("progress").hidden = false;
  if (at("about").textContent !== LOADING[what]) at("about").textContent = LOADING[what];
}

function showLoaded() {
  at("about").textContent = summary;
  at("progress").hidden = true;
}

// Shows an error, or what this browser lacks as long as there is none.
function showError(message) {
  const shown = message || lacking;
  delete at("error").dataset.waiting;
  if (at("error").textContent !== shown) at("error").textContent = shown;
  at("error").hidden = !shown;
}

// Asks a question and shows the answer, unless another question was asked meanwhile.
async function ask(question, show) {
  const mine = ++asked;
  showError("");
  try {
    const answer = await question();
    if (mine === asked) show(answer);
  } catch (error) {
    if (mine !== asked) return;
    showNothing();
    showError(error.message);
  }
}

function showNothing() {
  asked++;
  showError("");
  at("results").hidden = true;
}

function find() {
  const text = at("text").value.trim();
  if (!text) return showNothing();
  ask(() => index.find(text), ({ total, matches }) => {
    const shown = total > matches.length ? `, the first ${matches.length}` : "";
    const count = `${total ? number.format(total) : "No"} card${total === 1 ? "" : "s"}`;
    showMatches(`${count} with “${text}”${shown}`, matches);
  });
}

function namePicture(file) {
  if (!file) return;
  if (!index.about.pictures) {
    return showError(lacking || "Pictures cannot be searched: the index was exported without its model.");
  }
  at("text").value = "";
  showMatches("Looking at the picture", [], file);
  ask(() => index.name(file), ({ accepted, matches }) => {
    showMatches(accepted ? `Recognised: ${matches[0].record.name}` : "Not sure. Most like:", matches, file);
    at("hint").hidden = accepted;
  });
}

function moreLike(row, name) {
  at("text").value = "";
  ask(() => index.like(row), (matches) => {
    showMatches(`More like ${name}`, matches);
    at("heading").focus();
  });
}

function showMatches(heading, matches, picture = null) {
  at("results").hidden = false;
  at("heading").textContent = heading;
  at("hint").hidden = true;
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
  const sources = [record.card_url];
  if (LOCAL_PICTURES) sources.unshift(LOCAL_PICTURES + encodeURIComponent(record.image_url));
  image.onerror = () => (sources.length ? (image.src = sources.shift()) : picture.classList.add("missing"));
  image.src = sources.shift();
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
  more.hidden = !index.about.similar;
  more.ariaLabel = `More like this: ${record.name}`;
  more.onclick = () => moreLike(row, record.name);
  return card;
}

async function useCamera() {
  stopCamera();
  showError("");
  const mine = started;
  at("camera").hidden = false;
  at("verdict").textContent = "Waiting for the camera";
  try {
    const running = await startCamera(at("video"), at("guide"), index, showSeen, stopCamera);
    if (mine !== started) return running.stop();
    camera = running;
    showNothing();
    at("text").value = "";
    at("drop").hidden = true;
    at("camera-stop").focus();
  } catch (error) {
    if (mine === started) stopCamera(error.message);
  }
}

function stopCamera(why = "") {
  started++;
  camera?.stop();
  at("drop").hidden = !index.about.pictures;
  if (camera) at("camera-start").focus();
  camera = null;
  at("camera").hidden = true;
  at("verdict").textContent = "";
  at("verdict").className = "";
  at("best").replaceChildren();
  if (why) showError(why);
}

function showSeen({ accepted, matches: [best] }) {
  if (!camera) return;
  const verdict = accepted ? `Recognised: ${best.record.name}` : "Not sure. Hold a card inside the frame.";
  if (at("verdict").textContent !== verdict) at("verdict").textContent = verdict;
  at("verdict").className = accepted ? "recognised" : "";
  if (at("best").dataset.row !== String(best.row) || !at("best").children.length) {
    at("best").replaceChildren(cardOf(best));
    at("best").dataset.row = best.row;
  }
  at("best").querySelector(".score span").textContent = best.score.toFixed(3);
  at("best").querySelector("meter").value = best.score;
}

at("search").addEventListener("submit", (event) => event.preventDefault());
at("text").addEventListener("input", () => index && find());
at("file").addEventListener("change", ({ target }) => {
  namePicture(target.files[0]);
  target.value = "";
});
at("camera-start").addEventListener("click", useCamera);
at("camera-stop").addEventListener("click", () => stopCamera());
document.addEventListener("keydown", ({ key }) => key === "Escape" && !at("camera").hidden && stopCamera());
document.addEventListener("dragover", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return; // dragged text may go into the search box
  event.preventDefault();
  at("drop").classList.add("over");
});
document.addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  at("drop").classList.remove("over");
  if (index) namePicture(event.dataTransfer.files[0]);
});
document.addEventListener("paste", ({ clipboardData }) => index && namePicture(clipboardData.files[0]));

open();
