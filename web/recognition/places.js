// A photo -> the places where cards may lie, by outlines and by two networks. It is mtg_image_db/recognition/places.py,
// which explains the numbers.
//
//     const places = await openPlaces(cornerNetBytes, refinerBytes);
//     for (const { quad, confidence, sure } of await places.guesses(photo)) ...      // photo: from photoOf()

import { openCornerNet } from "./corner_net.js";
import { openRefiner } from "./corner_refiner.js";
import { findQuads, SAME_PLACE } from "./finder.js";
import { area, intersectionOverUnion, overlap, rectangle, turned, upright } from "./quads.js";

/** @typedef {import("./corner_refiner.js").Place} Place */
/** @typedef {import("./pictures.js").Photo} Photo */
/** @typedef {import("./quads.js").Quad} Quad */
/** @typedef {(photo: import("./pictures.js").Pyramid, quads: Quad[]) => Promise<Place[]>} Refine */

const SAME_ROUGH = 0.9;
const SAME_REFINED = 0.75;
const MIN_CONFIDENCE = 0.2;
const MAX_REFINED = 60;
const FARTHEST = 3;
const MIN_SURE = 0.9;
const MIN_SURE_UPRIGHT = 0.6;
const ALIKE = 0.6;
const [SAME_IOU, WITHIN] = [0.7, 0.9];
const QUICK = 6; // places of a frame before, and as many new ones. Of 15 cards before a webcam, 4 new ones find all

/**
 * @param {Uint8Array} cornerNetBytes
 * @param {Uint8Array} refinerBytes
 */
export async function openPlaces(cornerNetBytes, refinerBytes) {
  const { findCorners } = await openCornerNet(cornerNetBytes);
  const { refine } = await openRefiner(refinerBytes);

  /**
   * At most MAX_REFINED places that may be cards in a photo, the most confident first.
   * @param {Photo} photo
   * @returns {Promise<Place[]>}
   */
  async function findPlaces({ colour, width, height }) {
    const learned = (await findCorners(colour)).map(({ quad }) => quad);
    const isNew = (quad) => learned.every((other) => intersectionOverUnion(quad, other) < SAME_ROUGH);
    const outlined = findQuads(colour).map(({ quad }) => quad).filter(isNew);
    const once = await refine(colour, [...learned, ...outlined]);
    const twice = await refine(colour, once.map(({ quad }) => quad));
    return distinct([...once, ...twice], FARTHEST * Math.max(width, height));
  }

  /**
   * Places for a frame of a camera, found in a third of the time: without outlines, and the corners are moved once.
   * near has the quads of the frame before. They are moved on, so a card that lies still gets better corners with each
   * frame.
   * @param {Photo} photo
   * @param {Quad[]} [near]
   * @returns {Promise<Place[]>}
   */
  async function quickPlaces({ colour, width, height }, near = []) {
    const isNew = ({ quad }) => near.every((other) => intersectionOverUnion(quad, other) < SAME_REFINED);
    const found = (await findCorners(colour)).filter(isNew).slice(0, QUICK);
    const places = await refine(colour, [...near.slice(0, QUICK), ...found.map(({ quad }) => quad)]);
    return distinct(places, FARTHEST * Math.max(width, height));
  }

  /**
   * Places where cards may be in a photo. The complete photo comes first, both ways up, or in all four turns if it is
   * wider than high. Nothing has looked at it, so its confidence is 0. Then the places that were found, the most
   * confident first, in the turns that they may have.
   * @param {Photo} photo
   * @returns {Promise<Place[]>}
   */
  async function guesses(photo) {
    const frame = rectangle(photo.width, photo.height);
    const frames = (upright(frame) === frame ? [0, 2] : [0, 2, 1, 3]).map((turn) => turned(frame, turn));
    return [...frames.map((quad) => ({ quad, confidence: 0, sure: 0 })), ...inTurns(await findPlaces(photo))];
  }

  return { guesses, findPlaces, quickPlaces, refine };
}

/**
 * Each place once if its top left is sure, else in the two or four turns that it may have.
 * @param {Place[]} places
 * @returns {Place[]}
 */
export function inTurns(places) {
  return places.flatMap((place) => turnsOf(place.sure).map((turn) => ({ ...place, quad: turned(place.quad, turn) })));
}

function turnsOf(sure) {
  if (sure >= MIN_SURE) return [0];
  return sure >= MIN_SURE_UPRIGHT ? [0, 2] : [0, 2, 1, 3];
}

// The places that are sure enough and not too far away, the most confident first, and one of those at one place.
function distinct(places, farthest) {
  const kept = [];
  for (const place of [...places].sort((a, b) => b.confidence - a.confidence)) {
    if (place.confidence >= MIN_CONFIDENCE && kept.length < MAX_REFINED
      && place.quad.flat().every((at) => Math.abs(at) < farthest)
      && kept.every(({ quad }) => intersectionOverUnion(place.quad, quad) < SAME_REFINED)) kept.push(place);
  }
  return kept;
}

/**
 * True if two quadrilaterals are guesses of one place. A small one within a large one is a part of it. Cards of one
 * size may cover much of each other in a fan.
 * @param {Quad} quad
 * @param {Quad} other
 */
export function samePlace(quad, other) {
  const areas = [area(quad), area(other)];
  if (Math.min(...areas) < ALIKE * Math.max(...areas)) return overlap(quad, other) > SAME_PLACE;
  return intersectionOverUnion(quad, other) > SAME_IOU || overlap(quad, other) > WITHIN;
}
