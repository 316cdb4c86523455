// Decides whether a picture shows the card that was found for it. It is the rule of mtg_image_db/recognition/, for a
// card whose place in the picture is roughly known.
//
//     const decision = readDecision(meta.recognition);
//     const answer = judge(levelsOf(picture), quad, nearest, hashes, name, decision);
//
// The corners of the card are moved to where the complete pictures are most similar. The similarity of the art, in
// colour, then decides: the highest one after small moves of the corners. The numbers of the decision come from
// meta.json. The export writes them there, and docs/naming.md explains them.

import { artHashOf, artSimilarityTo, hashOf, similarityTo } from "./hashes.js";
import { area, grown, inside, moved } from "./quads.js";

const isNumber = (value) => typeof value === "number";
const isNumbers = (value) => Array.isArray(value) && value.length > 0 && value.every(isNumber);

// {accepted, retrieved, retrievedByArt, rivals, sizes, moves, steps, hopeless, artSteps, artHopeless, art}: the numbers
// of the decision.
// Throws an Error in words where one is missing, as in an index of an earlier version.
export function readDecision(recognition) {
  const take = (key, isValid) => {
    if (isValid(recognition?.[key])) return recognition[key];
    throw new Error(`meta.json has no number recognition.${key}, which decides whether a card is recognised. `
      + "Run python export_for_browser.py --with-model again.");
  };
  return {
    accepted: take("accepted", isNumber), // confidence of an accepted answer, at least
    retrieved: take("retrieved", isNumber), // rows nearest by their vectors that are compared
    retrievedByArt: take("retrieved_by_art", isNumber), // and by the hashes of their art, for each of sizes
    rivals: take("rivals", isNumber), // different cards that the corners are fitted to
    sizes: take("sizes", isNumbers), // parts by which the sides are moved outward at first
    moves: take("moves", isNumber), // moves with each step, at most
    steps: take("steps", isNumbers), // parts of the card's size by which corners and sides are moved
    hopeless: take("hopeless", isNumber), // a lower similarity after the first step is not improved further
    artSteps: take("art_steps", isNumbers), // the same for the art alone, from there on
    artHopeless: take("art_hopeless", isNumber), // for less similar art, nothing is moved
    art: take("art", isNumbers), // the art window: left, top, right and bottom as parts of the card's width and height
  };
}

// {accepted, similarity, margin, confidence, order}. similarity is that of the best card. margin is how much less
// similar the next card of another name is. confidence is the similarity of the best card's art, which decides. order
// lists the places in `nearest`, the best first.
// quad: [[x, y] x 4], clockwise from the card's top left; nearest: [{row, score}]; hashes: Uint8Array
// [N * ROW_BYTES]; name(row): the card's name; decision: from readDecision().
export function judge({ grey, colours }, quad, nearest, hashes, name, decision) {
  const { accepted, rivals, sizes } = decision;
  const artHash = (corners) => artHashOf(colours, inside(corners, decision.art));
  const seen = sizes.map((size) => {
    const corners = grown(quad, size);
    return { hash: hashOf(grey, corners), art: artHash(corners) };
  });
  const ranked = nearest.map(({ row }, place) => {
    const alike = seen.map(({ hash }) => similarityTo(hash, hashes, row));
    const similarity = Math.max(...alike);
    const art = Math.max(...seen.map((at) => artSimilarityTo(at.art, hashes, row)));
    return { place, size: sizes[alike.indexOf(similarity)], similarity, art };
  });
  const ranking = ({ place, similarity, art }) => similarity + nearest[place].score + art;
  const byRanking = (a, b) => ranking(b) - ranking(a);
  const bestOfName = new Map();
  for (const candidate of [...ranked].sort(byRanking)) {
    const card = name(nearest[candidate.place].row);
    if (!bestOfName.has(card)) bestOfName.set(card, candidate);
    if (bestOfName.size === rivals) break;
  }
  const fits = Array.from(bestOfName.values(), ({ place, size, similarity }) => {
    const { row } = nearest[place];
    const similarityAt = (corners) => similarityTo(hashOf(grey, corners), hashes, row);
    const artAt = (corners) => artSimilarityTo(artHash(corners), hashes, row);
    const complete = fitted(grown(quad, size), similarity, similarityAt, decision);
    return { place, similarity: complete.similarity, art: bestArt(complete.quad, artAt, decision) };
  }).sort(byRanking);
  const [first, ...others] = fits;
  const margin = others.length ? first.similarity - Math.max(...others.map((fit) => fit.similarity)) : 0;
  const fitAt = new Map(fits.map((fit) => [fit.place, fit]));
  const cardOf = ({ place }) => name(nearest[place].row);
  const artOf = (candidate) => (cardOf(candidate) === cardOf(first) ? first.art : candidate.art); // printings share it
  const order = ranked.map((candidate) => fitAt.get(candidate.place) ?? { ...candidate, art: artOf(candidate) })
    .sort((a, b) => (b === first) - (a === first) || byRanking(a, b)).map(({ place }) => place);
  return { accepted: first.art >= accepted, similarity: first.similarity, margin, confidence: first.art, order };
}

// The highest artAt(quad) after small moves of the corners and sides.
function bestArt(quad, artAt, { artSteps, artHopeless, moves }) {
  const similarity = artAt(quad);
  if (similarity < artHopeless) return similarity;
  return fitted(quad, similarity, artAt, { steps: artSteps, hopeless: artHopeless, moves }).similarity;
}

// Moves corners and sides. Each time it takes the move with the highest similarityAt(quad).
// Returns {similarity, quad} after the last move.
function fitted(quad, similarity, similarityAt, { steps, moves, hopeless }) {
  for (const step of steps) {
    if (step < steps[0] && similarity < hopeless) break;
    for (let move = 0; move < moves; move++) {
      let better = null;
      for (const other of moved(quad, step * Math.sqrt(area(quad)))) {
        const found = similarityAt(other);
        if (found > similarity) [similarity, better] = [found, other];
      }
      if (!better) break;
      quad = better;
    }
  }
  return { similarity, quad };
}
