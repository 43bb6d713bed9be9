// Subwords of rondel's own learning, from the JSON of Hugging Face's tokenizers: BPE, Unigram or
// WordPiece over bytes, each of which stands there as one of GPT-2's 256 characters.

import { spansOfBytes } from "../spans.js";
import { bytesOf, isLone, Utf8Decoder } from "../utf8.js";

function byteCharacters() {
  const visible = byte => byte > 0x20 && byte < 0x7f || byte > 0xa0 && byte !== 0xad;
  let other = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(visible(byte) ? byte : other++));
}

const CHARACTERS = byteCharacters();
const BYTE_OF = new Map(CHARACTERS.map((character, byte) => [character, byte]));

export class Tokenizer {
  constructor({ model, pre_tokenizer: { pretokenizers: [split] } }) {
    const vocab = Array.isArray(model.vocab) ? model.vocab.map(([token], id) => [token, id]) : Object.entries(model.vocab);
    this.ids = new Map(vocab);
    this.bytes = [];
    for (const [token, id] of vocab) this.bytes[id] = Array.from(token, character => BYTE_OF.get(character));
    this.piece = new RegExp(split.pattern.Regex, "gu");
    this.splitPiece = SPLITTERS[model.type](model, this.ids);
    this.known = new Map();
    this.unknownId = null;
    this.impliesSpace = false;
    this.spaceLed = this.bytes.map(bytes => bytes[0] === 0x20);
  }

  encode(text) {
    const ids = [];
    let part = "";
    const end = () => {
      for (const [piece] of part.matchAll(this.piece)) ids.push(...this.#ids(piece));
      part = "";
    };
    for (const character of text) {
      if (!isLone(character)) {
        part += character;
        continue;
      }
      end();
      for (const byte of bytesOf(character)) ids.push(this.ids.get(CHARACTERS[byte]));
    }
    end();
    return ids;
  }

  #ids(piece) {
    let ids = this.known.get(piece);
    if (!ids) {
      ids = this.splitPiece(bytesOf(piece).map(byte => CHARACTERS[byte])).map(token => this.ids.get(token));
      this.known.set(piece, ids);
    }
    return ids;
  }

  spans(text) {
    return spansOfBytes(text, this.encode(text).map(id => this.bytes[id].length));
  }

  decoder() {
    return new Decoder(this.bytes);
  }

  token(id) {
    const bytes = this.bytes[id];
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
    } catch {
      return bytes.map(byte => `0x${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(" ");
    }
  }

  // Whether a character ends where the token ends.
  startsWord(previous) {
    const bytes = this.bytes[previous];
    for (let back = 1; back <= Math.min(4, bytes.length); back++) {
      const byte = bytes[bytes.length - back];
      if (byte < 0x80) return back === 1;
      if (byte >= 0xc0) return back === 2 + (byte >= 0xe0) + (byte >= 0xf0);
    }
    return !bytes.length;
  }
}

class Decoder {
  constructor(bytes, utf8 = new Utf8Decoder()) {
    this.bytes = bytes;
    this.utf8 = utf8;
  }

  push(id) {
    return this.utf8.push(this.bytes[id]);
  }

  finish() {
    return this.utf8.finish();
  }

  copy() {
    return new Decoder(this.bytes, this.utf8.copy());
  }
}

// How the characters of a piece become tokens, by the type of model.
const SPLITTERS = {
  // The pair of the lowest rank is merged, the first of several, until there is none.
  BPE({ merges }) {
    const pairs = merges.map(merge => Array.isArray(merge) ? merge : merge.split(" "));
    const ranks = new Map(pairs.map(([a, b], rank) => [`${a} ${b}`, rank]));
    return tokens => {
      while (true) {
        let best = Infinity, place = -1;
        for (let n = 0; n + 1 < tokens.length; n++) {
          const rank = ranks.get(`${tokens[n]} ${tokens[n + 1]}`);
          if (rank < best) [best, place] = [rank, n];
        }
        if (place < 0) return tokens;
        tokens.splice(place, 2, tokens[place] + tokens[place + 1]);
      }
    };
  },

  // The likeliest way (Viterbi), the shorter tokens first among equals.
  Unigram({ vocab }) {
    const scores = new Map(vocab), longest = Math.max(...vocab.map(([token]) => token.length));
    return characters => {
      const best = [{ score: 0 }];
      for (let begin = 0; begin < characters.length; begin++) {
        let token = "";
        for (let end = begin + 1; end <= Math.min(characters.length, begin + longest); end++) {
          token += characters[end - 1];
          const score = best[begin].score + scores.get(token);
          if (scores.has(token) && !(score <= best[end]?.score)) best[end] = { score, begin, token };
        }
      }
      const tokens = [];
      for (let end = characters.length; end > 0; end = best[end].begin) tokens.unshift(best[end].token);
      return tokens;
    };
  },

  // The longest token that fits, from the left.
  WordPiece(model, ids) {
    return characters => {
      const tokens = [];
      for (let begin = 0; begin < characters.length;) {
        let end = characters.length;
        while (!ids.has(characters.slice(begin, end).join(""))) end--;
        tokens.push(characters.slice(begin, end).join(""));
        begin = end;
      }
      return tokens;
    };
  },
};
