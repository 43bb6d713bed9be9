// Where tokens stand in a text, in code units: begin and end of each.

import { bytesOf } from "./utf8.js";

// What each token stands for: together they are the text. White space that tokens imply goes with the
// token after it, at the end with the last; a character of several tokens goes with the last of them.
export function piecesOf(text, spans) {
  const begins = spans.map(([begin], n) => n ? Math.min(spans[n - 1][1], begin) : 0);
  return begins.map((begin, n) => text.slice(begin, begins[n + 1] ?? text.length));
}

// The spans of tokens of so many bytes each: all characters that they have a byte of.
export function spansOfBytes(text, sizes) {
  const characters = [];
  let at = 0;
  for (const character of text) {
    const span = [at, at += character.length];
    for (let n = bytesOf(character).length; n > 0; n--) characters.push(span);
  }
  let byte = 0;
  return sizes.map(size => {
    const begin = characters[byte][0];
    byte += size;
    return [begin, characters[byte - 1][1]];
  });
}
