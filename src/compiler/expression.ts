/**
 * Expressions of one loop as a graph without repetitions, each node knowing how far out of the loop it can be
 * computed (level) and after which row reductions (stage).
 */
import { bytesOf, type DType } from "../tensor/dtype.js";
import type { Layout } from "./layout.js";
import type { ElementwiseOp, Root, Value } from "./step.js";

/** 0: once a kernel; 1: once a row; 2: at every point. */
export type Level = 0 | 1 | 2;

/** Hash steps of the `random` primitive on i32 lanes. */
export type HashOp = { readonly kind: "mix" } | { readonly kind: "xor" } | { readonly kind: "uniform" };

export interface Node {
  readonly id: number;
  readonly dtype: DType;
  readonly level: Level;
  readonly stage: number;
  readonly body:
    | { readonly kind: "load"; readonly access: Access }
    | { readonly kind: "index"; readonly pattern: Pattern; readonly offset: number }
    | { readonly kind: "number"; readonly value: number }
    | { readonly kind: "apply"; readonly op: ElementwiseOp | HashOp; readonly inputs: readonly Node[] }
    /** The result of a row reduction, filled in when its loop has run. */
    | { readonly kind: "reduced" };
}

/** Strides over the loop's (collapsed) axes in bytes; accesses that walk alike share their offsets. */
export interface Pattern {
  readonly id: number;
  readonly outer: readonly number[];
  readonly inner: readonly number[];
}
/** A base address (a kernel parameter) and how it moves. */
export interface Access {
  readonly parameter: number;
  readonly dtype: DType;
  readonly pattern: Pattern;
  readonly root: Root;
  /** In elements, from the root's start. */
  readonly offset: number;
}

/** Every layout that the expression walks with. */
export function layoutsOf(value: Value, found: Layout[] = []): Layout[] {
  if (value.kind === "load" || value.kind === "index") found.push(value.layout);
  else if (value.kind === "random") {
    found.push(value.layout);
    for (const word of value.key) layoutsOf(word, found);
  } else if (value.kind === "apply") for (const operand of value.inputs) layoutsOf(operand, found);
  return found;
}

const wrap = (x: number) => x | 0;

/** Builds nodes for one kernel. `split` maps a layout over the loop's domain to strides of its collapsed axes. */
export class Expressions {
  readonly nodes: Node[] = [];
  readonly patterns: Pattern[] = [];
  readonly accesses: Access[] = [];
  private readonly known = new Map<string, Node>();

  constructor(
    private readonly split: (layout: Layout) => { outer: readonly number[]; inner: readonly number[] },
    /** The node of a root that the same loop computes. */
    private readonly local: (root: Root) => Node,
  ) {}

  pattern(layout: Layout, bytes: number): Pattern {
    const { outer, inner } = this.split(layout);
    const scaled = { outer: outer.map((s) => s * bytes), inner: inner.map((s) => s * bytes) };
    const same = (a: readonly number[], b: readonly number[]) => a.every((s, axis) => s === b[axis]);
    const found = this.patterns.find((p) => same(p.outer, scaled.outer) && same(p.inner, scaled.inner));
    if (found) return found;
    const pattern = { id: this.patterns.length, ...scaled };
    this.patterns.push(pattern);
    return pattern;
  }
  access(root: Root, layout: Layout): Access {
    const pattern = this.pattern(layout, bytesOf(root.dtype));
    const found = this.accesses.find(
      (a) => a.root === root && a.pattern === pattern && a.offset === layout.offset,
    );
    if (found) return found;
    const access = {
      parameter: this.accesses.length,
      dtype: root.dtype,
      pattern,
      root,
      offset: layout.offset,
    };
    this.accesses.push(access);
    return access;
  }

  node(value: Value): Node {
    switch (value.kind) {
      case "local":
        return this.local(value.root);
      case "number":
        return this.make(value.dtype, 0, 0, { kind: "number", value: value.value });
      case "load": {
        const access = this.access(value.root, value.layout);
        return this.make(value.root.dtype, levelOf(access.pattern), 0, { kind: "load", access });
      }
      case "index": {
        const pattern = this.pattern(value.layout, 1);
        const index = this.make("i32", levelOf(pattern), 0, {
          kind: "index",
          pattern,
          offset: value.layout.offset,
        });
        return value.dtype === "i32"
          ? index
          : this.apply({ kind: "cast", dtype: value.dtype }, value.dtype, [index]);
      }
      case "random": {
        const [k0, k1] = value.key.map((word) => this.node(word)) as [Node, Node];
        const plus = (a: Node, b: Node) => this.apply({ kind: "add" }, "i32", [a, b]);
        const number = (x: number) => this.make("i32", 0, 0, { kind: "number", value: wrap(x) });
        const mixed = (x: Node) => this.apply({ kind: "mix" }, "i32", [x]);
        const pattern = this.pattern(value.layout, 1);
        const index = this.make("i32", levelOf(pattern), 0, {
          kind: "index",
          pattern,
          offset: value.layout.offset,
        });
        const inner = mixed(plus(index, mixed(plus(k0, number(Math.imul(value.stream, 0x9e3779b9))))));
        const bits = mixed(
          this.apply({ kind: "xor" }, "i32", [
            inner,
            mixed(plus(k1, number(0x85ebca6b + Math.imul(value.stream, 0xc2b2ae35)))),
          ]),
        );
        return this.apply({ kind: "uniform" }, value.dtype, [bits]);
      }
      case "apply":
        return this.apply(
          value.op,
          value.dtype,
          value.inputs.map((operand) => this.node(operand)),
        );
    }
  }
  apply(op: ElementwiseOp | HashOp, dtype: DType, inputs: readonly Node[]): Node {
    const level = Math.max(0, ...inputs.map((n) => n.level)) as Level;
    const stage = Math.max(0, ...inputs.map((n) => n.stage));
    return this.make(dtype, level, stage, { kind: "apply", op, inputs });
  }
  reduced(dtype: DType, stage: number): Node {
    const node: Node = { id: this.nodes.length, dtype, level: 1, stage, body: { kind: "reduced" } };
    this.nodes.push(node);
    return node;
  }
  private make(dtype: DType, level: Level, stage: number, body: Node["body"]): Node {
    const key = `${dtype}|${describe(body)}`;
    const found = this.known.get(key);
    if (found) return found;
    const node: Node = { id: this.nodes.length, dtype, level, stage, body };
    this.nodes.push(node);
    this.known.set(key, node);
    return node;
  }
}

/** A text that two nodes share exactly when they compute the same. */
export function describe(body: Node["body"]): string {
  switch (body.kind) {
    case "load":
      return `load ${body.access.parameter}`;
    case "index":
      return `index ${body.pattern.id} ${body.offset}`;
    case "number":
      return `number ${Object.is(body.value, -0) ? "-0" : body.value}`;
    case "apply":
      return `${body.op.kind} ${body.inputs.map((n) => n.id).join()}`;
    case "reduced":
      return "reduced";
  }
}

function levelOf(pattern: Pattern): Level {
  if (pattern.inner.some((s) => s !== 0)) return 2;
  return pattern.outer.some((s) => s !== 0) ? 1 : 0;
}
