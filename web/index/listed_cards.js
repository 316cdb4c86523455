// The lines of a list that came from a file -> the faces and printings that they mean.
//
//     const found = await findListed(lines, index);       // [{line, row, record, printing}], one for each line
//
// lines are those of collection/imports.js. A line is found by its name first, and among the faces of this name by the
// printing: by Scryfall's id, else by set and number. row and record are null where the index has no such name.
// printing is null where it has the name, but not that printing. A line without a printing means that of the index.

/**
 * @param {import("../collection/imports.js").Line[]} lines
 * @param {import("./card_index.js").OpenedIndex} index
 */
export async function findListed(lines, index) {
  const rowsByName = namesOf(index);
  const found = [];
  for (const line of lines) {
    const rows = rowsByName.get(keyOf(line.name)) ?? [];
    found.push(await printingOf(line, rows, index));
  }
  return found;
}

async function printingOf(line, rows, index) {
  for (const row of rows) {
    const record = index.record(row);
    const printing = isMeant(record, line) ? record : (await index.printingsOf(row)).find((one) => isMeant(one, line));
    if (printing) return { line, row, record, printing };
  }
  const [row] = rows;
  return { line, row: row ?? null, record: rows.length ? index.record(row) : null, printing: null };
}

function isMeant(printing, { scryfall_id: id, set, collector_number: number }) {
  if (id) return printing.scryfall_id === id;
  if (!set) return true;
  return printing.set === set && (!number || printing.collector_number === number);
}

// The rows by each name that they may be listed under: that of the face, and that of the card.
function namesOf({ rows, value }) {
  const found = new Map();
  for (let row = 0; row < rows; row++) {
    for (const name of new Set([value(row, "name"), value(row, "card_name")].filter(Boolean).map(keyOf))) {
      if (found.has(name)) found.get(name).push(row);
      else found.set(name, [row]);
    }
  }
  return found;
}

function keyOf(name) {
  return name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
