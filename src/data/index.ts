export { type BatchSampler, type Sampling, sampleBatches, type Target } from "./batches.js";
export { type Dataset, holdOut, type Split, split, subset, take } from "./dataset.js";
export { DataError } from "./error.js";
export { encodeIdx, type IdxArray, parseIdx, readIdx } from "./idx.js";
export { digits, fashionMnist, imageDirectory, readImages } from "./images.js";
export { shuffled } from "./shuffle.js";
export { parseCsv, readTable, type TableOptions } from "./table.js";
export { encodeText, mobyDick, type Text } from "./text.js";
