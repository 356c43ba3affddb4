/**
 * Initial values. An initialiser fills a shape from a generator:
 *
 *     dense(128, { weight: initialisers.heNormal() })
 *
 * Fans are those of the affine map: the last two axes of a weight are its inputs and outputs, what precedes them is
 * the receptive field (dense [in, out]; conv2d [kh, kw, c, out]: fanIn = kh·kw·c, fanOut = kh·kw·out).
 */
import type { NDArray } from "../tensor/array.js";
import { allocate, type DType } from "../tensor/dtype.js";
import { formatShape, type Shape, ShapeError, sizeOf } from "../tensor/shape.js";
import type { Random } from "./random.js";

export type Initialiser = (random: Random, shape: Shape, dtype: DType) => NDArray;

function filled(shape: Shape, dtype: DType, value: () => number): NDArray {
  const data = allocate(dtype, sizeOf(shape));
  for (let index = 0; index < data.length; index++) data[index] = value();
  return { dtype, shape, data };
}

/**
 * Every element is `value`.
 *
 *     dense(1, { bias: initialisers.constant(0.5) })
 */
export const constant =
  (value: number): Initialiser =>
  (_random, shape, dtype) =>
    filled(shape, dtype, () => value);
/**
 * Every element is 0: what biases begin with.
 *
 *     dense(10, { weight: initialisers.zeros() })
 */
export const zeros = (): Initialiser => constant(0);
/**
 * Every element is 1: what the scales of norms begin with.
 *
 *     ({ scale: { shape: [width], initialise: initialisers.ones() } })   // a variable of a layer of one's own
 */
export const ones = (): Initialiser => constant(1);

/**
 * Normal with the given standard deviation and mean.
 *
 *     embedding(65, 128, { table: initialisers.normal(0.02) })
 */
export const normal =
  (deviation = 1, mean = 0): Initialiser =>
  (random, shape, dtype) =>
    filled(shape, dtype, () => random.normal(mean, deviation));
/**
 * Uniform on [low, high).
 *
 *     dense(64, { weight: initialisers.uniform(-1 / 32, 1 / 32) })
 */
export const uniform =
  (low = -1, high = 1): Initialiser =>
  (random, shape, dtype) =>
    filled(shape, dtype, () => random.uniform(low, high));

/**
 * Inputs that reach one output and outputs that one input reaches, of a weight [..., in, out].
 *
 *     fans([3, 3, 16, 32])   // { fanIn: 144, fanOut: 288 }
 *
 * @throws ShapeError for fewer than two axes.
 */
export function fans(shape: Shape): { fanIn: number; fanOut: number } {
  if (shape.length < 2)
    throw new ShapeError(`initialiser: fans need a weight [..., in, out], not ${formatShape(shape)}`);
  const field = sizeOf(shape.slice(0, -2));
  return { fanIn: field * shape.at(-2)!, fanOut: field * shape.at(-1)! };
}

type Variance = (fan: { fanIn: number; fanOut: number }) => number;
const scaledNormal =
  (variance: Variance): Initialiser =>
  (random, shape, dtype) =>
    normal(Math.sqrt(variance(fans(shape))))(random, shape, dtype);
/** U(−a, a) has variance a²/3. */
const scaledUniform =
  (variance: Variance): Initialiser =>
  (random, shape, dtype) => {
    const bound = Math.sqrt(3 * variance(fans(shape)));
    return uniform(-bound, bound)(random, shape, dtype);
  };

const glorot: Variance = ({ fanIn, fanOut }) => 2 / (fanIn + fanOut);
const he: Variance = ({ fanIn }) => 2 / fanIn;
const lecun: Variance = ({ fanIn }) => 1 / fanIn;

/**
 * Variance 2/(fanIn + fanOut): Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural
 * networks" ("Xavier").
 *
 *     dense(128, { weight: initialisers.glorotNormal() })
 */
export const glorotNormal = (): Initialiser => scaledNormal(glorot);
/**
 * Uniform with variance 2/(fanIn + fanOut): Glorot & Bengio 2010, equation 16. The default of `dense`.
 *
 *     conv2d(32, 3, { weight: initialisers.glorotUniform() })
 */
export const glorotUniform = (): Initialiser => scaledUniform(glorot);
/**
 * Variance 2/fanIn, for ReLU: He, Zhang, Ren, Sun 2015, "Delving Deep into Rectifiers", equation 10.
 *
 *     dense(128, { weight: initialisers.heNormal() })
 */
export const heNormal = (): Initialiser => scaledNormal(he);
/**
 * Uniform with variance 2/fanIn: He et al. 2015.
 *
 *     dense(128, { weight: initialisers.heUniform() })
 */
export const heUniform = (): Initialiser => scaledUniform(he);
/**
 * Variance 1/fanIn: LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp", equation 16.
 *
 *     dense(128, { weight: initialisers.lecunNormal() })
 */
export const lecunNormal = (): Initialiser => scaledNormal(lecun);
/**
 * Uniform with variance 1/fanIn: LeCun et al. 1998.
 *
 *     dense(128, { weight: initialisers.lecunUniform() })
 */
export const lecunUniform = (): Initialiser => scaledUniform(lecun);

/**
 * gain · Q with orthonormal columns (rows, where there are more columns), uniformly distributed: Gram–Schmidt on a
 * Gaussian matrix, so that R has a positive diagonal (Saxe, McClelland, Ganguli 2013; Mezzadri 2007). A weight
 * [..., in, out] is taken as the matrix [fanIn, out].
 *
 *     rnn(50, { recurrent: initialisers.orthogonal() })
 */
export const orthogonal =
  (gain = 1): Initialiser =>
  (random, shape, dtype) => {
    const [rows, columns] = [fans(shape).fanIn, shape.at(-1)!];
    const [length, count] = [Math.max(rows, columns), Math.min(rows, columns)];
    const basis = orthonormal(random, length, count);
    const data = allocate(dtype, rows * columns);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++)
        data[i * columns + j] = gain * (rows >= columns ? basis[j]![i]! : basis[i]![j]!);
    return { dtype, shape, data };
  };

/**
 * Each output has `count` incoming weights, N(0, deviation²), and zeros else: units that are far from linear, and differ,
 * however wide the layer before is (Martens 2010, "Deep learning via Hessian-free optimization", section 5). For weights
 * [in, out].
 *
 *     dense(400, { weight: initialisers.sparse(15) })
 */
export const sparse =
  (count = 15, deviation = 1): Initialiser =>
  (random, shape, dtype) => {
    const [rows, columns] = [fans(shape).fanIn, shape.at(-1)!];
    const data = allocate(dtype, rows * columns);
    const order = Int32Array.from({ length: rows }, (_, i) => i);
    for (let j = 0; j < columns; j++)
      for (let k = 0; k < Math.min(count, rows); k++) {
        // The first k of a random order, by as many exchanges.
        const other = k + random.integer(rows - k);
        [order[k], order[other]] = [order[other]!, order[k]!];
        data[order[k]! * columns + j] = random.normal(0, deviation);
      }
    return { dtype, shape, data };
  };

/** `count` orthonormal vectors: classical order, each orthogonalized twice ("twice is enough", Kahan & Parlett). */
function orthonormal(random: Random, length: number, count: number): Float64Array[] {
  const basis: Float64Array[] = [];
  while (basis.length < count) {
    const vector = Float64Array.from({ length }, () => random.normal());
    for (const _pass of [1, 2])
      for (const earlier of basis) {
        const overlap = inner(earlier, vector);
        for (let i = 0; i < length; i++) vector[i]! -= overlap * earlier[i]!;
      }
    const norm = Math.sqrt(inner(vector, vector));
    basis.push(vector.map((value) => value / norm));
  }
  return basis;
}

function inner(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/**
 * Equal blocks along the last axis, each with an initialiser of its own: for maps that are computed as one product
 * but mean several (the gates of an LSTM; queries, keys and values).
 *
 *     blocks([zeros(), ones(), zeros(), zeros()])   // the bias of an LSTM with open forget gates
 */
export const blocks =
  (initialisers: readonly Initialiser[]): Initialiser =>
  (random, shape, dtype) => {
    const [count, width] = [initialisers.length, shape.at(-1)! / initialisers.length];
    if (!Number.isInteger(width))
      throw new ShapeError(`initialiser: ${formatShape(shape)} does not split into ${count} equal blocks`);
    const data = allocate(dtype, sizeOf(shape));
    initialisers.forEach((initialise, k) => {
      const block = initialise(random.stream(k), [...shape.slice(0, -1), width], dtype);
      for (let i = 0; i < block.data.length; i++)
        data[Math.floor(i / width) * count * width + k * width + (i % width)] = block.data[i]!;
    });
    return { dtype, shape, data };
  };
