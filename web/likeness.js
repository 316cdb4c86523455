// Decides whether a picture shows the card that was found for it. It is the rule of mtg_image_db/recognition/, for a
// card whose place in the picture is roughly known.
//
//     const decision = readDecision(meta.recognition);
//     const answer = judge(levelsOf(picture), quad, nearest, hashes, name, decision);
//
// The corners of the card are moved to where the complete pictures are most similar. The similarity of the art, in
// colour, then decides. The numbers of the decision come from meta.json. The export writes them there, and
// docs/naming.md explains them.

import { artHashOf, artSimilarityTo, hashOf, similarityTo } from "./hashes.js";
import { area, grown, inside, moved } from "./quads.js";

const isNumber = (value) => typeof value === "number";
const isNumbers = (value) => Array.isArray(value) && value.length > 0 && value.every(isNumber);

// {accepted, retrieved, retrievedByHash, rivals, sizes, steps, moves, hopeless, cosineWeight, art}: the numbers of the
// decision.
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
    retrievedByHash: take("retrieved_by_hash", isNumber), // and by their hashes, for each of sizes
    rivals: take("rivals", isNumber), // different cards that the corners are fitted to
    sizes: take("sizes", isNumbers), // parts by which the sides are moved outward at first
    steps: take("steps", isNumbers), // parts of the card's size by which corners and sides are moved
    moves: take("moves", isNumber), // moves with each step, at most
    hopeless: take("hopeless", isNumber), // a lower similarity after the first step is not improved further
    cosineWeight: take("cosine_weight", isNumber), // of the cosine beside the similarity, in the ranking
    art: take("art", isNumbers), // the art window: left, top, right and bottom as parts of the card's width and height
  };
}

// {accepted, similarity, margin, confidence, order}. similarity is that of the best card. margin is how much less
// similar the next card of another name is. confidence is the similarity of the best card's art. order lists the places
// in `nearest`, the best first.
// quad: [[x, y] x 4], clockwise from the card's top left; nearest: [{row, score}]; hashes: Uint8Array
// [N * ROW_BYTES]; name(row): the card's name; decision: from readDecision().
export function judge({ grey, colours }, quad, nearest, hashes, name, decision) {
  const { accepted, rivals, sizes, cosineWeight } = decision;
  const similarities = sizes.map((size) => {
    const hash = hashOf(grey, grown(quad, size));
    return nearest.map(({ row }) => similarityTo(hash, hashes, row));
  });
  const ranked = nearest.map((_, place) => {
    const size = sizes.reduce((best, _, i) => (similarities[i][place] > similarities[best][place] ? i : best), 0);
    return { place, size, similarity: similarities[size][place] };
  });
  const ranking = ({ place, similarity, art = 0 }) => similarity + cosineWeight * nearest[place].score + art;
  const byRanking = (a, b) => ranking(b) - ranking(a);
  const bestOfName = new Map();
  for (const candidate of [...ranked].sort(byRanking)) {
    const card = name(nearest[candidate.place].row);
    if (!bestOfName.has(card)) bestOfName.set(card, candidate);
    if (bestOfName.size === rivals) break;
  }
  const fits = Array.from(bestOfName.values(), ({ place, size, similarity }) => {
    const { row } = nearest[place];
    const fit = fitted(grey, grown(quad, sizes[size]), similarity, hashes, row, decision);
    const art = artSimilarityTo(artHashOf(colours, inside(fit.quad, decision.art)), hashes, row);
    return { place, similarity: fit.similarity, art };
  }).sort(byRanking);
  const [first, ...others] = fits;
  const margin = others.length ? first.similarity - Math.max(...others.map((fit) => fit.similarity)) : 0;
  const fitAt = new Map(fits.map((fit) => [fit.place, fit]));
  const cardOf = ({ place }) => name(nearest[place].row);
  const art = (candidate) => (cardOf(candidate) === cardOf(first) ? first.art : 0); // other printings show it too
  const order = ranked.map((candidate) => fitAt.get(candidate.place) ?? { ...candidate, art: art(candidate) })
    .sort((a, b) => (b === first) - (a === first) || byRanking(a, b)).map(({ place }) => place);
  return { accepted: first.art >= accepted, similarity: first.similarity, margin, confidence: first.art, order };
}

// Moves corners and sides. Each time it takes the move that makes the picture most similar to the row's picture.
// Returns {similarity, quad} after the last move.
function fitted(levels, quad, similarity, hashes, row, { steps, moves, hopeless }) {
  for (const step of steps) {
    if (step < steps[0] && similarity < hopeless) break;
    for (let move = 0; move < moves; move++) {
      let better = null;
      for (const other of moved(quad, step * Math.sqrt(area(quad)))) {
        const found = similarityTo(hashOf(levels, other), hashes, row);
        if (found > similarity) [similarity, better] = [found, other];
      }
      if (!better) break;
      quad = better;
    }
  }
  return { similarity, quad };
}
