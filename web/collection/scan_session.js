// What a camera sees, frame by frame -> what is to be listed: each card once, for as long as it lies there.
//
//     const session = createSession();
//     for (const event of session.see(answer.cards, performance.now())) note(event);
//     const printing = choosePrinting(event.card, { set: "mh1" });
//
// Events are {type, id, card}. All events of what lies at a place have the same id, so that a later one changes the
// entry that was made for an earlier one.
//     recognised   the card is to be listed. A review or unknown event of this id may have come before
//     review       it is likely, and lies still: a person has to say
//     unknown      something lies still that is no card of the index
//     printing     the printing of a recognised card was decided later: event.printing
// Another copy counts if both are seen at once, if the first was gone, or if another card lay on it. A card that is
// laid on another one is an event of its own, and what the lower one was stays listed.
// Reads and writes  nothing. It has no clock: times are given

import { LIKELY, RECOGNISED, STATES, TITLE_ALONE, UNKNOWN } from "../recognition/cards.js";
import { overlap } from "../recognition/quads.js";

/** @typedef {import("../recognition/cards.js").Card} Card */

// There was no camera to measure these with. While cards are read, a frame may take a second.
const SETTLE = 2; // frames in a row that must agree
const STILL = 4; // frames in a row for which something lies still that is not recognised: the next one may do it
const GONE_FRAMES = 3; // in a row without the card. A blur takes one or two
const GONE_MS = 1000; // without the card: a hand may cover it
const SAME_PLACE = 0.5; // overlap of a card's places in two frames, or of two places that are one card
const STILL_PLACE = 0.8; // the same, of what lies still

/**
 * @typedef {{type: "recognised" | "review" | "unknown" | "printing", id: number, card: Card, printing?: any}} SeenEvent
 *
 * @param {{settle?: number, still?: number, goneFrames?: number, goneMs?: number}} [options]
 */
export function createSession({ settle = SETTLE, still = STILL, goneFrames = GONE_FRAMES, goneMs = GONE_MS } = {}) {
  // What lies there: {id, card, frames, told, names, decided, missed, seenAt, coveredAt}. frames: those in a row that
  // agree. told: the last event's type. names: of the matches of a review, the cards that it may be. missed: the frames
  // since one showed it, without those in which it may be covered.
  let tracks = [];
  let last = 0;
  return { see };

  /**
   * The events of a frame.
   * @param {Card[]} cards those of the answer to it
   * @param {number} now in ms
   * @returns {SeenEvent[]}
   */
  function see(cards, now) {
    const seen = withoutDoubles(cards);
    const known = assigned(seen, tracks);
    const events = [];
    for (const card of seen) {
      const track = known.get(card) ?? { id: ++last, card, frames: 0, told: "", names: [], decided: false,
        coveredAt: 0 };
      if (!known.has(card)) tracks.push(track);
      take(track, card);
      Object.assign(track, { missed: 0, seenAt: now });
      events.push(...told(track, card));
    }
    const laid = events.filter(({ type }) => type !== "printing");
    tracks = tracks.filter((track) => track.seenAt === now || stays(track, laid, seen, now));
    return events;
  }

  // The track's card is this one now. What was recognised stays so, if the same card is less clear in this frame.
  function take(track, card) {
    const agrees = isSure(card) === isSure(track.card) && (!isSure(card) || isSame(card, track.card))
      && overlap(card.quad, track.card.quad) >= (isSure(card) ? SAME_PLACE : STILL_PLACE);
    if (track.told === RECOGNISED && !isSure(card)) return;
    track.frames = agrees ? track.frames + 1 : 1;
    // Of several frames without a recognised card, the clearest is told.
    const isClearer = isSure(card) || !agrees || rank(card) <= rank(track.card);
    track.card = isClearer ? card : { ...track.card, quad: card.quad };
  }

  function told(track, card) {
    const { id, frames } = track;
    if (track.told === RECOGNISED) {
      if (track.decided || !isSure(card) || !card.printing_decided) return [];
      track.decided = true;
      return [{ type: "printing", id, card, printing: card.printings[0] }];
    }
    if (isSure(card)) {
      if (frames < settle) return [];
      Object.assign(track, { told: RECOGNISED, decided: card.printing_decided });
      return [{ type: RECOGNISED, id, card }];
    }
    const type = track.card.state === LIKELY ? "review" : UNKNOWN;
    if (frames < still || track.told === type || track.told === "review") return [];
    track.told = type;
    track.names = track.card.matches.map((match) => match.card_name || match.name);
    return [{ type, id, card: track.card }];
  }

  // Whether a track stays that was not seen in this frame. laid: the events of cards that are new in it.
  function stays(track, laid, seen, now) {
    const isCovered = laid.some(({ type, card }) => overlap(card.quad, track.card.quad) >= SAME_PLACE
      && (type === RECOGNISED || (type === "review" && track.told === "review")));
    if (!track.told || isCovered) return false;
    // Something lies at its place that is not recognised. It may be this card, with a glare on it.
    const hides = seen.some((card) => !isSure(card) && overlap(card.quad, track.card.quad) >= SAME_PLACE);
    if (track.told === RECOGNISED && hides) {
      track.coveredAt = now;
      return true;
    }
    track.missed += 1;
    return track.missed < goneFrames || now - Math.max(track.seenAt, track.coveredAt) < goneMs;
  }
}

/**
 * The printing of a card to list. A person may have said that all cards are of a set or in a language. Then it is the
 * likeliest of those; if the card has none there, the likeliest of all. Null for an unknown card.
 * @param {Card} card
 * @param {{set?: string, lang?: string}} [locked]
 */
export function choosePrinting(card, { set = "", lang = "" } = {}) {
  if (card.state === UNKNOWN) return null;
  const all = card.printings.length ? card.printings : card.matches.slice(0, 1);
  const inSet = all.filter((printing) => !set || printing.set === set.toLowerCase());
  const inLanguage = (printings) => printings.filter((printing) => !lang || printing.lang === lang);
  return [...inLanguage(inSet), ...inSet, ...inLanguage(all), ...all][0] ?? null;
}

// Without what is part of another card, or the same card found twice.
function withoutDoubles(cards) {
  const kept = [];
  for (const card of [...cards].sort((one, other) => rank(one) - rank(other) || other.confidence - one.confidence)) {
    const isDouble = kept.some((other) => overlap(card.quad, other.quad)
      >= (nameOf(card) === nameOf(other) ? SAME_PLACE : isSure(card) ? Infinity : STILL_PLACE));
    if (!isDouble) kept.push(card);
  }
  return cards.filter((card) => kept.includes(card));
}

// A map of the cards that were there before, to their tracks. Sure answers come first, and near places.
function assigned(cards, tracks) {
  // Whether a track may become this card. What waits for review may only become one of its matches: another card lies
  // on it. What is not known may be the same card, in a worse picture.
  const isOpenTo = (track, card) => track.told !== RECOGNISED && (track.told !== "review" || card.state === UNKNOWN
    || track.names.includes(nameOf(card)));
  const rules = [
    (card, track, near) => near && isSure(card) && isSure(track.card) && isSame(card, track.card),
    (card, track) => isSure(card) && isSure(track.card) && isSame(card, track.card), // it was moved, or the camera
    (card, track, near) => near && track.told === RECOGNISED && !isSure(card) && nameOf(card) === nameOf(track.card),
    (card, track, near) => near && isOpenTo(track, card),
  ];
  const pairs = cards.flatMap((card) => tracks.map((track) => ({ card, track,
    near: overlap(card.quad, track.card.quad) }))).sort((one, other) => other.near - one.near);
  const found = new Map();
  for (const rule of rules) {
    for (const { card, track, near } of pairs) {
      const isFree = !found.has(card) && ![...found.values()].includes(track);
      if (isFree && rule(card, track, near >= SAME_PLACE)) found.set(card, track);
    }
  }
  return found;
}

// Whether two recognised cards are one: the same artwork, or the other side. A title alone does not show the artwork.
function isSame(one, other) {
  const [a, b] = [one.matches[0], other.matches[0]];
  if (nameOf(one) !== nameOf(other)) return false;
  return a.name !== b.name || !a.illustration_id || a.illustration_id === b.illustration_id
    || one.by === TITLE_ALONE || other.by === TITLE_ALONE;
}

// The name of the card, of both sides.
function nameOf(card) {
  return card.matches[0]?.card_name || card.matches[0]?.name || "";
}

function isSure(card) {
  return card.state === RECOGNISED;
}

function rank(card) {
  return STATES.indexOf(card.state);
}
