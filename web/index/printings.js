// The printings of an artwork, as an index lists them: with and without a picture in the index. It is what printings.py
// is in mtg_image_db/index/, and reads the file that mtg_image_db/browser/printing_blocks.py describes.
//
//     const printings = openPrintings(() => readBytes(url, new Uint8Array(bytes), sha256));
//     for (const printing of await printings.ofArtwork(illustrationId, name)) console.log(printing.set);
//
// Reads printings.bin, at the first question: 9 MB for 54,000 artworks. It stays packed in memory. A question unpacks
// one block of it, which takes a few ms.

import { fromColumns } from "./artefacts.js";

/**
 * @typedef {{name: string, card_name: string, set: string, set_name: string, collector_number: string, lang: string,
 *   released_at: string | null, frame: string, border_color: string, layout: string, finishes: string[],
 *   promo: boolean, promo_types: string[], full_art: boolean, rarity: string, scryfall_id: string, face_id: string,
 *   oracle_id: string | null, printed_name: string | null, tcgplayer_id: number | null,
 *   cardmarket_id: number | null, scryfall_uri: string}} PaperPrinting
 */

/** @param {() => Promise<Uint8Array<ArrayBuffer>>} load resolves to the file's bytes */
export function openPrintings(load) {
  let loading = /** @type {Promise<ReturnType<typeof readHead>> | null} */ (null);
  const opened = () => {
    loading ??= load().then(readHead).catch((error) => {
      loading = null; // so that the next question tries again
      throw error;
    });
    return loading;
  };

  return {
    /**
     * Every printing in paper of an artwork, the newest first. name is the face's: it stands for an artwork without
     * illustration_id. Empty if the index lists none.
     * @param {string | null} illustrationId
     * @param {string} name
     * @returns {Promise<PaperPrinting[]>}
     */
    async ofArtwork(illustrationId, name) {
      const key = illustrationId || `name:${name}`;
      const { first, ends, blocks } = await opened();
      const number = first.findLastIndex((artwork) => artwork <= key);
      if (number < 0) return [];
      const { length, value, record } = fromColumns({
        columns: await unpacked(blocks.subarray(ends[number - 1] ?? 0, ends[number])),
      });
      const rows = Array.from({ length }, (_, row) => row).filter((row) => value(row, "artwork") === key);
      return rows.map((row) => {
        const { artwork, ...printing } = record(row);
        return printing;
      });
    },
  };
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {{first: string[], ends: number[], blocks: Uint8Array<ArrayBuffer>}}
 */
function readHead(bytes) {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const { first, ends } = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size)));
  return { first, ends, blocks: bytes.subarray(4 + size) };
}

async function unpacked(block) {
  return new Response(new Blob([block]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}
