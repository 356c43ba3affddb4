/**
 * Elementary functions in integers of a few hundred bits, by their series: the reference for kernels of either type.
 * A number is m·2^e with m a bigint.
 */
export interface Precise {
  readonly m: bigint;
  readonly e: number;
}

const words = new DataView(new ArrayBuffer(8));

/** A finite double, exactly. */
export function exactly(x: number): Precise {
  words.setFloat64(0, x);
  const bits = words.getBigUint64(0);
  const field = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  const m = field === 0 ? fraction : fraction | 0x10000000000000n;
  return { m: x < 0 ? -m : m, e: Math.max(field, 1) - 1075 };
}

const shift = (m: bigint, by: number) => (by >= 0 ? m << BigInt(by) : m >> BigInt(-by));
/** x·2^p as an integer. */
const fixed = (x: Precise, p: number) => shift(x.m, x.e + p);
const bitsOf = (m: bigint) => (m < 0n ? -m : m).toString(2).length;
const magnitude = (m: bigint) => (m < 0n ? -m : m);

/** |got − wanted| in units of the last place of `wanted`, in numbers of `mantissa` bits whose least exponent is `least`. */
export function ulps(got: number, wanted: Precise, type: "f32" | "f64"): number {
  const [mantissa, least, largest] = type === "f32" ? [24, -126, 127] : [53, -1022, 1023];
  const exponent = wanted.m === 0n ? least : bitsOf(wanted.m) - 1 + wanted.e;
  const unit = Math.max(exponent, least) - mantissa + 1;
  // The first number too large stands for infinity, and for all beyond.
  if (exponent > largest) return Number.isFinite(got) || got > 0 !== wanted.m > 0n ? Infinity : 0;
  const own = Number.isFinite(got) ? exactly(got) : { m: got > 0 ? 1n : -1n, e: largest + 1 };
  const difference = magnitude(shift(own.m, own.e - unit + 400) - shift(wanted.m, wanted.e - unit + 400));
  return Number(difference >> 380n) / 2 ** 20;
}

const remembered = (make: (p: number) => bigint) => {
  const known = new Map<number, bigint>();
  return (p: number): bigint => {
    const value = known.get(p) ?? make(p);
    known.set(p, value);
    return value;
  };
};
/** 2·artanh(1/3) and 16·arctan(1/5) − 4·arctan(1/239). */
const ln2 = remembered((p) => {
  let [sum, term] = [0n, (2n << BigInt(p + 16)) / 3n];
  for (let k = 1n; term > 0n; k += 2n, term /= 9n) sum += term / k;
  return sum >> 16n;
});
const pi = remembered((p) => {
  const arctan = (inverse: bigint) => {
    let [sum, term, sign] = [0n, (1n << BigInt(p + 16)) / inverse, 1n];
    for (let k = 1n; term > 0n; k += 2n, term /= inverse * inverse, sign = -sign) sum += (sign * term) / k;
    return sum;
  };
  return (16n * arctan(5n) - 4n * arctan(239n)) >> 16n;
});

function squareRoot(value: bigint): bigint {
  let root = 1n << BigInt((bitsOf(value) + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** Bits behind the point, so that 160 are significant in x and whatever is about as small. */
const precision = (x: number) => 160 + Math.max(0, -Math.floor(Math.log2(Math.abs(x) || 1)));

/** e^(x·2^−p) = m·2^(n − p). */
function expOf(x: bigint, p: number): { m: bigint; n: number } {
  const n = Number((2n * x + ln2(p)) / (2n * ln2(p)));
  const r = x - BigInt(n) * ln2(p);
  let [sum, term] = [0n, 1n << BigInt(p)];
  for (let k = 1n; term !== 0n && term !== -1n; k++) {
    sum += term;
    term = (term * r) / (k << BigInt(p));
  }
  return { m: sum, n };
}
/** log of m·2^e, times 2^p. */
function logOf(x: Precise, p: number): bigint {
  const k = bitsOf(x.m) + x.e;
  const one = 1n << BigInt(p);
  const m = fixed({ m: x.m, e: x.e - k }, p);
  const s = ((m - one) << BigInt(p)) / (m + one);
  const z = (s * s) >> BigInt(p);
  let sum = 0n;
  for (let [term, j] = [s, 1n]; magnitude(term) > 1n; term = (term * z) >> BigInt(p), j += 2n)
    sum += term / j;
  return 2n * sum + BigInt(k) * ln2(p);
}
/** e^x with p bits behind the point. */
const expFixed = (x: bigint, p: number): bigint => {
  const { m, n } = expOf(x, p);
  return shift(m, n);
};

/** sin (quarter 0) and cos (quarter 1): the series of the remainder of a quarter turn. */
function circular(x: number, quarter: 0 | 1): Precise {
  const p = precision(x) + Math.max(0, Math.ceil(Math.log2(Math.abs(x) || 1))) + 160;
  const turn = pi(p) >> 1n;
  const value = fixed(exactly(x), p);
  const n = (2n * value + (value < 0n ? -turn : turn)) / (2n * turn);
  const r = value - n * turn;
  const q = Number((((n + BigInt(quarter)) % 4n) + 4n) % 4n);
  let [sum, term] = [0n, q % 2 === 0 ? r : 1n << BigInt(p)];
  for (let k = q % 2 === 0 ? 2n : 1n; term !== 0n && term !== -1n; k += 2n) {
    sum += term;
    term = -((term * r * r) >> BigInt(2 * p)) / (k * (k + 1n));
  }
  return { m: q >= 2 ? -sum : sum, e: -p };
}

/** The functions at finite doubles inside their domains. */
export const precise = {
  exp: (x: number): Precise => {
    const p = precision(x);
    const { m, n } = expOf(fixed(exactly(x), p), p);
    return { m, e: n - p };
  },
  expm1: (x: number): Precise => {
    const p = precision(x);
    return { m: expFixed(fixed(exactly(x), p), p) - (1n << BigInt(p)), e: -p };
  },
  log: (x: number): Precise => ({ m: logOf(exactly(x), 260), e: -260 }),
  log1p: (x: number): Precise => {
    const p = precision(x) + 60;
    return { m: logOf({ m: (1n << BigInt(p)) + fixed(exactly(x), p), e: -p }, p), e: -p };
  },
  tanh: (x: number): Precise => {
    const p = precision(x) + Math.ceil(3 * Math.min(40, Math.abs(x)));
    const near = Math.max(-40, Math.min(40, x));
    const power = expFixed(2n * fixed(exactly(near), p), p);
    const one = 1n << BigInt(p);
    return { m: ((power - one) << BigInt(p)) / (power + one), e: -p };
  },
  sigmoid: (x: number): Precise => {
    const p = precision(x) + Math.ceil(1.5 * Math.abs(x));
    const power = expFixed(fixed(exactly(-x), p), p);
    return { m: (1n << BigInt(2 * p)) / ((1n << BigInt(p)) + power), e: -p };
  },
  softplus: (x: number): Precise => {
    const p = precision(x) + Math.ceil(1.5 * Math.abs(x)) + 60;
    const power = expFixed(fixed(exactly(x), p), p);
    return { m: logOf({ m: (1n << BigInt(p)) + power, e: -p }, p), e: -p };
  },
  erf: (x: number): Precise => {
    const near = Math.max(-8, Math.min(8, x));
    const p = precision(x) + Math.ceil(3 * near * near);
    const value = fixed(exactly(near), p);
    let sum = 0n;
    let term = value;
    for (let n = 1n; term !== 0n && term !== -1n; n++) {
      sum += term / (2n * n - 1n);
      term = -((term * value * value) >> BigInt(2 * p)) / n;
    }
    return { m: ((2n * sum) << BigInt(p)) / squareRoot(pi(p) << BigInt(p)), e: -p };
  },
  sin: (x: number) => circular(x, 0),
  cos: (x: number) => circular(x, 1),
} as const satisfies Record<string, (x: number) => Precise>;

/** xʸ for x > 0. */
export function precisePow(x: number, y: number): Precise {
  const p = 400;
  const { m, n } = expOf((logOf(exactly(x), p) * fixed(exactly(y), p)) >> BigInt(p), p);
  return { m, e: n - p };
}
