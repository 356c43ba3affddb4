/** Patches of images: the copy into rows of a matrix, and the sum back into images. */
import type { Code, Local } from "../runtime/assembler.js";
import { bytesOf, type DType } from "../tensor/dtype.js";
import type { Window } from "../tensor/op.js";
import { address, run, straight } from "./moves.js";

export interface Patches {
  /** "patches": image → patches, zeros outside the image; "fold": the image is the sum of what patches hold of it. */
  readonly kind: "patches" | "fold";
  readonly window: Window;
  readonly dtype: DType;
  /** [n, h, w, c] */
  readonly image: readonly number[];
  /** Rows and columns of positions. */
  readonly positions: readonly number[];
}

/** Elements of a patch that are moved without loops. */
const straightLinePatch = 256;

/** For units [begin, end): rows of positions of all images ("patches"), or whole images ("fold"). */
export function movePatches(
  code: Code,
  patches: Patches,
  begin: Local,
  end: Local,
  imageBase: Local,
  patchBase: Local,
): void {
  const { kind, window, dtype, image } = patches;
  const [, height, width, channels] = image as [number, number, number, number];
  const [oh, ow] = patches.positions as [number, number];
  const { kernel, stride, padding } = window;
  const bytes = bytesOf(dtype);
  const imageBytes = height * width * channels * bytes;
  const patchSize = kernel[0] * kernel[1] * channels;
  const [unit, example, row, column] = [0, 0, 0, 0].map(() => code.local("i32")) as [
    Local,
    Local,
    Local,
    Local,
  ];
  const place: Place = {
    imageAddress: code.local("i32"),
    patchAddress: code.local("i32"),
    y: code.local("i32"),
    x: code.local("i32"),
  };
  const move = patchSize <= straightLinePatch ? moveShort : moveLong;
  const first = (index: Local, axis: 0 | 1, target: Local) => {
    code.get(index);
    code.i32(stride[axis]);
    code.emit("i32.mul");
    code.i32(padding[axis][0]);
    code.emit("i32.sub");
    code.set(target);
  };
  const position = () => {
    first(row, 0, place.y);
    first(column, 1, place.x);
    // Before the image where y or x are: the address is then only a start to count from.
    address(
      code,
      imageBase,
      [example, imageBytes],
      [place.y, width * channels * bytes],
      [place.x, channels * bytes],
    );
    code.set(place.imageAddress);
    code.get(patchBase);
    code.get(example);
    code.i32(oh);
    code.emit("i32.mul");
    code.get(row);
    code.emit("i32.add");
    code.i32(ow);
    code.emit("i32.mul");
    code.get(column);
    code.emit("i32.add");
    code.i32(patchSize * bytes);
    code.emit("i32.mul", "i32.add");
    code.set(place.patchAddress);
    move(code, patches, place);
  };
  code.for(unit, begin, end, 1, () => {
    if (kind === "patches") {
      code.get(unit);
      code.i32(oh);
      code.emit("i32.div_u");
      code.set(example);
      code.get(unit);
      code.i32(oh);
      code.emit("i32.rem_u");
      code.set(row);
      code.for(column, { constant: 0 }, { constant: ow }, 1, position);
      return;
    }
    code.get(unit);
    code.set(example);
    address(code, imageBase, [example, imageBytes]);
    code.i32(0);
    code.i32(imageBytes);
    code.fill();
    code.for(row, { constant: 0 }, { constant: oh }, 1, () =>
      code.for(column, { constant: 0 }, { constant: ow }, 1, position),
    );
  });
}

/** One position: where its window begins in the image (perhaps outside), and where its patch is. */
interface Place {
  readonly imageAddress: Local;
  readonly patchAddress: Local;
  readonly y: Local;
  readonly x: Local;
}

/** `value` + `offset` is in [0, extent). */
function inside(code: Code, value: Local, offset: number, extent: number): void {
  code.get(value);
  code.i32(offset);
  code.emit("i32.add");
  code.i32(Math.max(0, extent));
  code.emit("i32.lt_u");
}

/** Straight-line code: the whole window where it lies inside the image, else line by line, else point by point. */
function moveShort(code: Code, { kind, window, dtype, image }: Patches, place: Place): void {
  const [, height, width, channels] = image as [number, number, number, number];
  const { kernel, dilation } = window;
  const bytes = bytesOf(dtype);
  const [pixel, line] = [channels * bytes, width * channels * bytes];
  const span = (axis: 0 | 1) => (kernel[axis] - 1) * dilation[axis] + 1;
  const from = code.local("i32");
  /** `count` elements between the image at `from` + `inImage` and the patch. */
  const between = (inImage: number, inPatch: number, count: number, last: boolean) => {
    if (kind === "fold") straight(code, dtype, from, inImage, place.patchAddress, inPatch, count, true);
    else straight(code, dtype, place.patchAddress, inPatch, from, inImage, count, false, !last);
  };
  const startAt = (offset: number) => {
    code.get(place.imageAddress);
    code.i32(offset);
    code.emit("i32.add");
    code.set(from);
  };
  const patchOffset = (ky: number, kx: number) => (ky * kernel[1] + kx) * pixel;
  const contiguousLine = dilation[1] === 1;
  /** Line ky where all of it is inside; `from` is at the window's first element. */
  const wholeLine = (ky: number, inImage: number, last: boolean) => {
    if (contiguousLine) between(inImage, patchOffset(ky, 0), kernel[1] * channels, last);
    else
      for (let kx = 0; kx < kernel[1]; kx++)
        between(inImage + kx * dilation[1] * pixel, patchOffset(ky, kx), channels, true);
  };
  const zeros = (ky: number, kx: number, count: number) => {
    if (kind === "patches") straightZeros(code, dtype, place.patchAddress, patchOffset(ky, kx), count);
  };
  const byLines = () => {
    for (let ky = 0; ky < kernel[0]; ky++) {
      inside(code, place.y, ky * dilation[0], height);
      code.if(
        () => {
          inside(code, place.x, 0, width - span(1) + 1);
          code.if(
            () => {
              startAt(ky * dilation[0] * line);
              wholeLine(ky, 0, true);
            },
            () => {
              for (let kx = 0; kx < kernel[1]; kx++) {
                inside(code, place.x, kx * dilation[1], width);
                code.if(
                  () => {
                    startAt(ky * dilation[0] * line + kx * dilation[1] * pixel);
                    between(0, patchOffset(ky, kx), channels, true);
                  },
                  () => zeros(ky, kx, channels),
                );
              }
            },
          );
        },
        () => zeros(ky, 0, kernel[1] * channels),
      );
    }
  };
  inside(code, place.y, 0, height - span(0) + 1);
  inside(code, place.x, 0, width - span(1) + 1);
  code.emit("i32.and");
  code.if(() => {
    startAt(0);
    for (let ky = 0; ky < kernel[0]; ky++) wholeLine(ky, ky * dilation[0] * line, ky === kernel[0] - 1);
  }, byLines);
  code.release("i32", from);
}

function straightZeros(code: Code, dtype: DType, target: Local, offset: number, count: number): void {
  const bytes = bytesOf(dtype);
  const lanes = 16 / bytes;
  for (let at = 0; at < count; at += at + lanes <= count ? lanes : 1) {
    code.get(target);
    code.i32x4(0);
    if (at + lanes <= count) code.memory("v128.store", offset + at * bytes);
    else code.memoryLane(dtype === "f64" ? "v128.store64_lane" : "v128.store32_lane", 0, offset + at * bytes);
  }
}

/** Loops over the window's points, a run of channels each. */
function moveLong(code: Code, { kind, window, dtype, image }: Patches, place: Place): void {
  const [, height, width, channels] = image as [number, number, number, number];
  const { kernel, dilation } = window;
  const bytes = bytesOf(dtype);
  const [pixel, line] = [channels * bytes, width * channels * bytes];
  const [ky, kx, from, to, count] = [0, 0, 0, 0, 0].map(() => code.local("i32")) as [
    Local,
    Local,
    Local,
    Local,
    Local,
  ];
  const [inImage, inPatch] = kind === "patches" ? [from, to] : [to, from];
  const insideAt = (start: Local, index: Local, step: number, extent: number) => {
    code.get(start);
    code.get(index);
    code.i32(step);
    code.emit("i32.mul", "i32.add");
    code.i32(extent);
    code.emit("i32.lt_u");
  };
  const setPatch = () => {
    address(code, place.patchAddress, [ky, kernel[1] * pixel], [kx, pixel]);
    code.set(inPatch);
  };
  const setImage = () => {
    address(code, place.imageAddress, [ky, dilation[0] * line], [kx, dilation[1] * pixel]);
    code.set(inImage);
  };
  const move = (length: number, zero: boolean) => {
    if (zero && kind === "fold") return;
    setPatch();
    if (!zero) setImage();
    code.i32(length);
    code.set(count);
    run(code, dtype, to, zero ? undefined : from, count, kind === "fold");
  };
  code.for(ky, { constant: 0 }, { constant: kernel[0] }, 1, () => {
    insideAt(place.y, ky, dilation[0], height);
    code.if(
      () => {
        const byPoints = () =>
          code.for(kx, { constant: 0 }, { constant: kernel[1] }, 1, () => {
            insideAt(place.x, kx, dilation[1], width);
            code.if(
              () => move(channels, false),
              () => move(channels, true),
            );
          });
        if (dilation[1] !== 1) byPoints();
        else {
          inside(code, place.x, 0, width - kernel[1] + 1);
          code.if(() => {
            code.i32(0);
            code.set(kx);
            move(kernel[1] * channels, false);
          }, byPoints);
        }
      },
      () => {
        code.i32(0);
        code.set(kx);
        move(kernel[1] * channels, true);
      },
    );
  });
  for (const local of [ky, kx, from, to, count]) code.release("i32", local);
}
