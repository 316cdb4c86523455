"""What a network read, letter by letter -> text, and how well a known text fits it.

    text_of(letters)                                        # "MHI·EN"
    fits_of(strips, ["017", "0017"], alone=True)            # 0 to 1 for each strip and text

A network of this kind (CTC) gives, for each narrow column of a strip, a probability for each letter and for "no new
letter". The most probable letters are the text. To ask for a known text is more exact than to compare it with that
text: "MH1" fits a strip that reads "MHI", because the network held both for possible.
Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# The first stands for "no new letter". Cards in Latin script have no others.
ALPHABET = ("", *(chr(code) for code in range(0x20, 0x7f)), *"ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜàáâãäåæçèéêëìíîïñòóôõöùúûüŒœ",
            *"·•★–—’‘“”")
DIGITS = np.array([letter.isdecimal() for letter in ALPHABET])
IMPOSSIBLE = np.float32(-1e9)  # the logarithm of a probability of 0
_POSITION = {letter: at for at, letter in enumerate(ALPHABET)}

Letters = NDArray[np.float32]  # [T, len(ALPHABET)]: the logarithms of the probabilities in T columns of a strip


def text_of(letters: Letters) -> str:
    """The most probable text."""
    best = letters.argmax(axis=1)
    new = np.append(True, best[1:] != best[:-1])
    return "".join(ALPHABET[at] for at in best[new])


def fits_of(strips: Sequence[Letters], texts: Sequence[str], alone: bool = False) -> NDArray[np.float32]:
    """How well each text fits each strip, float32 [strips, texts] from 0 to 1: the mean probability of its letters,
    divided by that of the most probable ones there. The text may stand anywhere on a strip. alone=True: no digit may
    stand before it, and none directly after it, so that 17 does not fit 117 or 170. All strips have the same number of
    columns. A text with a letter that is not in ALPHABET fits nowhere."""
    known = [text if all(letter in _POSITION for letter in text) else "" for text in texts]
    lengths = np.array([len(text) for text in known], np.int64)
    codes = np.zeros((len(texts), max(lengths.max(initial=0), 1)), np.int64)
    for number, text in enumerate(known):
        codes[number, :len(text)] = [_POSITION[letter] for letter in text]
    columns = np.stack(strips)  # [strips, T, letters]
    lost = _best_path(columns, codes, lengths, alone) - columns.max(axis=2).sum(axis=1)[:, None]
    fits = np.exp(lost / np.maximum(lengths, 1), dtype=np.float32)
    return np.where(lengths > 0, fits, np.float32(0))


def _best_path(columns: NDArray[np.float32], codes: NDArray[np.int64], lengths: NDArray[np.int64],
               alone: bool) -> NDArray[np.float32]:
    """The logarithm of the probability of the best way to read each text on each strip, float32 [strips, texts].

    Before and after the text, the most probable letters are read (no digits, where `alone` says so). This is the
    Viterbi algorithm. at_letter and after_letter are the best ways that end in a column at each letter of a text, or
    at "no new letter" after it.
    """
    strips, count, _ = columns.shape
    nothing = columns[:, :, 0]
    best = columns.max(axis=2)
    no_digit = np.where(DIGITS, IMPOSSIBLE, columns).max(axis=2) if alone else best
    before = np.cumsum(np.hstack([np.zeros((strips, 1), np.float32), no_digit]), axis=1)
    after = _ends(columns, best, nothing) if alone else _sums_from(best)
    repeated = np.hstack([np.zeros((len(codes), 1), bool), codes[:, 1:] == codes[:, :-1]])
    at_letter = np.full((strips, *codes.shape), IMPOSSIBLE)
    after_letter, result = at_letter.copy(), np.full((strips, len(codes)), IMPOSSIBLE)
    last = (np.arange(len(codes)), np.maximum(lengths - 1, 0))
    for column in range(count):
        reached = np.maximum(after_letter, np.where(np.roll(repeated, -1, axis=1), IMPOSSIBLE, at_letter))
        start = np.broadcast_to(before[:, column, None, None], (strips, len(codes), 1))
        reached = np.concatenate([start, reached[:, :, :-1]], axis=2)
        after_letter = np.maximum(after_letter, at_letter) + nothing[:, column, None, None]
        at_letter = np.maximum(at_letter, reached) + columns[:, column][:, codes]
        result = np.maximum(result, at_letter[:, last[0], last[1]] + after[:, column + 1, None])
    return result


def _sums_from(best: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum of the columns from each one on, float32 [strips, T + 1]."""
    sums = np.cumsum(best[:, ::-1], axis=1)[:, ::-1]
    return np.hstack([sums, np.zeros((len(best), 1), np.float32)])


def _ends(columns: NDArray[np.float32], best: NDArray[np.float32],
          nothing: NDArray[np.float32]) -> NDArray[np.float32]:
    """The best way to read the columns from each one on, if the next letter is no digit: float32 [strips, T + 1]."""
    other = np.where(DIGITS | (np.arange(len(ALPHABET)) == 0), IMPOSSIBLE, columns).max(axis=2)
    rest, ends = _sums_from(best), np.zeros((len(columns), columns.shape[1] + 1), np.float32)
    for column in range(columns.shape[1] - 1, -1, -1):
        ends[:, column] = np.maximum(nothing[:, column] + ends[:, column + 1],
                                     other[:, column] + rest[:, column + 1])
    return ends
