// NumPy's random numbers, bit for bit: `default_rng(SeedSequence(numbers))` (O'Neill 2014, PCG64).

const MASK = (1n << 64n) - 1n;
const MULTIPLIER = (2549297995355413924n << 64n) + 4865540595714422341n;
const POOL = 4;

// The 32-bit words of a number, the lowest first.
function words(number) {
  let left = BigInt(number);
  const found = [];
  do {
    found.push(Number(left & 0xffffffffn));
    left >>= 32n;
  } while (left);
  return found;
}

function hasher(constant, multiplier) {
  return value => {
    value ^= constant;
    constant = Math.imul(constant, multiplier);
    value = Math.imul(value, constant);
    return (value ^ value >>> 16) >>> 0;
  };
}

// Four numbers of 64 bits by which a generator begins.
function seedSequence(numbers) {
  const entropy = numbers.flatMap(words);
  const hash = hasher(0x43b0d7e5, 0x931e8875);
  const mix = (x, y) => {
    const value = Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y);
    return (value ^ value >>> 16) >>> 0;
  };
  const pool = Array.from({ length: POOL }, (_, i) => hash(entropy[i] ?? 0));
  for (let from = 0; from < POOL; from++) {
    for (let to = 0; to < POOL; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
  }
  for (const word of entropy.slice(POOL)) for (let to = 0; to < POOL; to++) pool[to] = mix(pool[to], hash(word));
  const last = hasher(0x8b51f9dd, 0x58f38ded);
  const state = Array.from({ length: 8 }, (_, i) => BigInt(last(pool[i % POOL])));
  return [0, 2, 4, 6].map(i => state[i] | state[i + 1] << 32n);
}

export class Generator {
  constructor(numbers) {
    const [high, low, incrementHigh, incrementLow] = seedSequence(numbers);
    this.increment = BigInt.asUintN(128, (incrementHigh << 64n | incrementLow) << 1n | 1n);
    this.state = 0n;
    this.#step();
    this.state = BigInt.asUintN(128, this.state + (high << 64n | low));
    this.#step();
    this.half = null;
  }

  #step() {
    this.state = BigInt.asUintN(128, this.state * MULTIPLIER + this.increment);
  }

  // 64 random bits.
  bits() {
    this.#step();
    const folded = this.state >> 64n ^ this.state & MASK, turn = this.state >> 122n;
    return folded >> turn | folded << (64n - turn) & MASK;
  }

  // A number from 0 to 1, without 1, of 53 random bits.
  uniform() {
    return Number(this.bits() >> 11n) / 2 ** 53;
  }

  // 32 random bits: the lower half of 64, and then the upper.
  #word() {
    if (this.half !== null) {
      const word = this.half;
      this.half = null;
      return word;
    }
    const bits = this.bits();
    this.half = bits >> 32n;
    return bits & 0xffffffffn;
  }

  // A whole number from 0 to `count` - 1 (Lemire 2019).
  below(count) {
    if (count === 1) return 0;
    const wide = BigInt(count), threshold = ((1n << 32n) - wide) % wide;
    while (true) {
      const product = this.#word() * wide;
      if ((product & 0xffffffffn) >= threshold) return Number(product >> 32n);
    }
  }
}

// The generator of text `index` of a seed; without a seed it is another one each time.
export function generatorOf(seed, index) {
  return new Generator(seed === null ? Array.from(crypto.getRandomValues(new Uint32Array(4))) : [seed, index]);
}
