// A text with gaps: its tokens between them, and the text again once they are filled.
//
// What stands between the gaps comes back as it was typed. Among words only the single space that
// they imply belongs to the gap beside it: a comma filled in leans on the word before.

import { Refusal } from "./probability.js";

const PLACEHOLDER = "x"; // a word to every way of splitting, and a character to the others

// The parts of a text before, between and after its gaps: ids, text, and whether a space is beside it.
export function splitAtGaps(tokenizer, text, gap) {
  const typed = text.split(gap);
  if (typed.length === 1) throw new Refusal(`the text has no gap: mark one with ${gap}`);
  // Encoded whole, so that what is next to a gap is what it is next to a word.
  const whole = typed.join(PLACEHOLDER), ids = tokenizer.encode(whole), spans = tokenizer.spans(whole);
  let first = 0, place = 0;
  return typed.map((part, number) => {
    const last = number === typed.length - 1, end = place + part.length;
    const after = last ? ids.length : tokenAt(spans, end, gap);
    const within = spans.slice(first, after).map(span => span.map(at => at - place));
    const found = partOf(ids.slice(first, after), part, within, number > 0, !last);
    [first, place] = [after + 1, end + 1];
    return found;
  });
}

function tokenAt(spans, place, gap) {
  const touching = spans.flatMap(([begin, end], n) => begin < place + 1 && end > place ? [n] : []);
  const [begin, end] = spans[touching[0]];
  if (touching.length > 1 || begin !== place || end !== place + 1) {
    throw new Refusal(`a gap is whole words, and one of these is part of a word: put spaces around ${gap}`);
  }
  return touching[0];
}

function partOf(ids, typed, spans, afterGap, beforeGap) {
  if (!spans.length) {
    const between = afterGap && beforeGap;
    return { ids, text: between ? "" : typed, spaceBefore: between && typed !== "", spaceAfter: false };
  }
  // Of white space that is no token, a single space goes with the gap beside it.
  const spaceBefore = afterGap && spans[0][0] > 0 && typed.startsWith(" ");
  const spaceAfter = beforeGap && spans.at(-1)[1] < typed.length && typed.endsWith(" ");
  return { ids, text: typed.slice(spaceBefore ? 1 : 0, typed.length - (spaceAfter ? 1 : 0)), spaceBefore, spaceAfter };
}

// The text with every gap filled by these tokens, all else as it was typed.
export function putTogether(tokenizer, [first, ...others], fillings) {
  let text = first.text, before = first.ids.at(-1) ?? null, implied = first.spaceAfter;
  others.forEach((part, n) => {
    text += space(tokenizer, implied, before, fillings[n][0]) + decode(tokenizer, fillings[n]);
    [before, implied] = [fillings[n].at(-1), part.spaceBefore];
    if (part.ids.length) {
      text += space(tokenizer, implied, before, part.ids[0]);
      [before, implied] = [part.ids.at(-1), part.spaceAfter];
    }
    text += part.text;
  });
  return text;
}

export function decode(tokenizer, ids) {
  const decoder = tokenizer.decoder();
  return ids.map(id => decoder.push(id)).join("") + decoder.finish();
}

// What of an implied space is written between two tokens: nothing, if one leans on the other.
function space(tokenizer, implied, before, after) {
  if (!implied || before === null) return "";
  const decoder = tokenizer.decoder();
  decoder.push(before);
  return decoder.push(after).startsWith(" ") ? " " : "";
}
