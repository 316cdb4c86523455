// The orders in which rows can be shown. Each is made when it is first asked for, and kept.
//
//     const order = openOrders(rows, column);     // column() of search_columns.js
//     order("newest");                            // all rows, the newest first
//
// Rows that are equal in one order stand in the order it builds on: an artist's cards by name, a name's newest first.

const COLOURS = "WUBRG";
const NUMBERS = new Intl.Collator("en", { numeric: true }); // 9 before 10, 10 before 10a

/** The names of the orders, besides the best match. */
export const ORDERS = ["name", "set", "newest", "artist", "colour"];

/**
 * @param {number} rows
 * @param {import("./search_columns.js").ColumnOf} column
 */
export function openOrders(rows, column) {
  const made = new Map();
  const order = (name) => {
    if (!made.has(name)) made.set(name, MAKE[name]());
    return made.get(name);
  };
  const by = (field, base, compare) => sorted(base, column(field), compare);
  const MAKE = {
    set: () => by("set", by("collector_number", Uint32Array.from({ length: rows }, (_, row) => row), NUMBERS.compare)),
    newest: () => by("released_at", order("set"), (a, b) => -byText(a, b)),
    name: () => sorted(order("newest"), withKeys(column("name"))),
    artist: () => by("artist", order("name")),
    colour: () => by("colors", order("name"), (a, b) => byText(colourRank(a), colourRank(b))),
  };
  return order;
}

// One colour in the order of the cards, then two and more, then none.
function colourRank(colours) {
  const places = (colours ?? []).map((letter) => COLOURS.indexOf(letter)).sort();
  return places.length ? `${places.length}${places.join("")}` : "9";
}

// Sorts by the keys instead: Æther stands under a.
function withKeys(column) {
  return column && { values: column.keys, places: column.places };
}

/**
 * The rows of `base` by their values in a column, those with none last. It counts instead of comparing rows: equal rows
 * keep their order, and 500,000 take 10 ms.
 * @param {Uint32Array} base
 * @param {{values: any[], places: ArrayLike<number>} | null} column
 * @param {(a: any, b: any) => number} [compare]
 */
function sorted(base, column, compare = byText) {
  if (!column) return base;
  const { values, places } = column;
  const isNone = (value) => value === null || value === undefined || value === "";
  const turn = Array.from(values.keys()).sort((one, other) => {
    const [a, b] = [values[one], values[other]];
    return Number(isNone(a)) - Number(isNone(b)) || (isNone(a) ? 0 : compare(a, b));
  });
  const turnOf = new Uint32Array(values.length);
  turn.forEach((place, at) => { turnOf[place] = at; });
  return counted(base, (row) => turnOf[places[row]], values.length);
}

/**
 * The rows of `base` by a number below `limit`, equal ones as they stand. A number of -1 leaves a row out.
 * @param {Uint32Array} base
 * @param {(row: number) => number} numberOf
 * @param {number} limit
 */
export function counted(base, numberOf, limit) {
  const starts = new Uint32Array(limit + 1);
  for (const row of base) {
    const number = numberOf(row);
    if (number >= 0) starts[number + 1]++;
  }
  for (let at = 1; at <= limit; at++) starts[at] += starts[at - 1];
  const rows = new Uint32Array(starts[limit]);
  for (const row of base) {
    const number = numberOf(row);
    if (number >= 0) rows[starts[number]++] = row;
  }
  return rows;
}

function byText(a, b) {
  return a < b ? -1 : Number(a > b);
}
