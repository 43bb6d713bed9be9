// NumPy's normally distributed numbers: the ziggurat of 256 layers (Marsaglia & Tsang 2000).

const LAYERS = 256, RIGHT = 3.6541528853610088, AREA = 0.004928673233974655, STEPS = 2 ** 52;

// By layer: the width of a step, below how many steps a number is under the curve for sure, and the
// density at its right end.
function tables() {
  const width = new Float64Array(LAYERS), sure = new Float64Array(LAYERS), density = new Float64Array(LAYERS);
  const curve = x => Math.exp(-0.5 * x * x);
  let right = RIGHT;
  width[0] = AREA / curve(RIGHT) / STEPS;
  sure[0] = RIGHT / (AREA / curve(RIGHT)) * STEPS;
  density[0] = 1;
  width[LAYERS - 1] = RIGHT / STEPS;
  density[LAYERS - 1] = curve(RIGHT);
  for (let layer = LAYERS - 2; layer >= 1; layer--) {
    const inner = Math.sqrt(-2 * Math.log(AREA / right + curve(right)));
    sure[layer + 1] = inner / right * STEPS;
    width[layer] = inner / STEPS;
    density[layer] = curve(inner);
    right = inner;
  }
  return { width, sure, density };
}

const { width, sure, density } = tables();

export function normal(generator) {
  while (true) {
    const bits = generator.bits(), layer = Number(bits & 0xffn), negative = (bits >> 8n & 1n) === 1n;
    const step = Number(bits >> 9n & 0xfffffffffffffn), x = (negative ? -1 : 1) * step * width[layer];
    if (step < sure[layer]) return x;
    if (layer === 0) return tail(generator, step);
    const height = (density[layer - 1] - density[layer]) * generator.uniform() + density[layer];
    if (height < Math.exp(-0.5 * x * x)) return x;
  }
}

function tail(generator, step) {
  while (true) {
    const x = -Math.log1p(-generator.uniform()) / RIGHT, y = -Math.log1p(-generator.uniform());
    if (y + y > x * x) return Math.floor(step / 256) % 2 ? -(RIGHT + x) : RIGHT + x;
  }
}
