/**
 * Loop plan → one WebAssembly function.
 *
 * The domain's axes are split into outer and inner ones. A row is one point of the outer axes; its inner points are
 * walked by SIMD vectors along the last axis, once for each stage: a stage ends where a row reduction is needed.
 *
 *     for row in [begin, end):            rows are what threads share
 *       for each stage: row values; for inner points: wide values, stores, reductions
 */
import type { Code, Local } from "../runtime/assembler.js";
import { bytesOf } from "../tensor/dtype.js";
import { sizeOf } from "../tensor/shape.js";
import { describe, type Node } from "./expression.js";
import { type Bound, innerPoints } from "./inner-points.js";
import type { Kernel, KernelCache } from "./kernel.js";
import {
  acrossLanes,
  apply,
  combine,
  type Lanes,
  load,
  loadStrided,
  pushIdentity,
  pushNumber,
  store,
  storeStrided,
  toMemory,
} from "./lanes.js";
import {
  type Accumulate,
  type LoopPlan,
  planLoop,
  type RowReduce,
  stagesOf,
  straightLine,
} from "./loop-plan.js";
import { overRows } from "./rows.js";
import type { LoopStep } from "./step.js";

export function loopKernel(loop: LoopStep, cache: KernelCache): Kernel {
  const plan = planLoop(loop);
  const flat = plan.outer.length === 0;
  const { key, scratch, write } = writeLoop(plan, flat);
  return {
    code: cache.define(key, 3 + plan.arguments.length, write),
    units: sizeOf(flat ? plan.inner : plan.outer),
    grain: flat ? 16 : 1,
    arguments: plan.arguments,
    scratch,
    work: sizeOf(loop.domain) * (1 + plan.expressions.nodes.filter((n) => n.level === 2).length),
  };
}

/** Bound on nodes × vectors of a row that is written out. */
const straightLineCode = 600;

function writeLoop(plan: LoopPlan, flat: boolean) {
  const { outer, inner, expressions, stores, reduces, accumulates } = plan;
  const { nodes, accesses, patterns } = expressions;
  const lanes: Lanes =
    nodes.some((n) => n.dtype === "f64") || accesses.some((a) => a.dtype === "f64") ? 2 : 4;
  const lastExtent = inner.at(-1)!;
  const innerSize = sizeOf(inner);
  const stages = stagesOf(plan);
  const { wideStores, rowStores, spilled, valuesOf } = stages;
  const rowBytes = (innerSize + 4) * 8;
  const scratch = spilled.size * rowBytes;

  const key = JSON.stringify([
    outer,
    inner,
    lanes,
    patterns.map((p) => [p.outer, p.inner]),
    accesses.map((a) => [a.dtype, a.pattern.id]),
    nodes.map((n) => [
      n.dtype,
      describe(n.body),
      n.body.kind === "apply" && n.body.op.kind === "cast" ? n.body.op.dtype : "",
    ]),
    stores.map((s) => [s.access.parameter, s.node.id]),
    reduces.map((r) => [r.input.id, r.result.id, r.reduction]),
    accumulates.map((a) => [a.input.id, a.reduction, a.parameter, a.kept, a.rows]),
  ]);

  const write = (code: Code, begin: Local, end: Local, scratchBase: Local, ...parameters: Local[]) => {
    const value = new Map<Node, Local>();
    const offset = patterns.map(() => code.local("i32")); // of the current row, by pattern
    const pointer = accesses.map(() => code.local("i32")); // of the current row, by access
    const need = new Set<Node>();
    const mark = (node: Node) => {
      if (need.has(node)) return;
      need.add(node);
      if (node.body.kind === "apply") for (const operand of node.body.inputs) mark(operand);
    };
    for (const s of stores) mark(s.node);
    for (const r of reduces) mark(r.input);
    for (const a of accumulates) mark(a.input);

    // Values of level 0 and 1 are vectors with all lanes equal.
    const emitUniform = (node: Node) => {
      const local = code.local("v128");
      if (node.body.kind === "number") pushNumber(code, node.dtype, node.body.value);
      else if (node.body.kind === "load") {
        code.get(
          node.level === 0 ? parameters[node.body.access.parameter]! : pointer[node.body.access.parameter]!,
        );
        load(code, node.dtype, lanes, "splat");
      } else if (node.body.kind === "index") {
        if (node.level === 0) code.i32(node.body.offset);
        else {
          code.get(offset[node.body.pattern.id]!);
          code.i32(node.body.offset);
          code.emit("i32.add");
        }
        code.emit("i32x4.splat");
      } else if (node.body.kind === "apply")
        apply(code, node.body.op, node.dtype, node.body.inputs, (n) => code.get(value.get(n)!));
      code.set(local);
      value.set(node, local);
    };
    for (const node of nodes) if (node.level === 0 && need.has(node)) emitUniform(node);
    for (const r of reduces) value.set(r.result, code.local("v128"));

    // Accumulators over rows.
    const registers = new Map<Accumulate, Local>();
    for (const a of accumulates) {
      if (a.rows || a.kept === 1) {
        const local = code.local("v128");
        pushIdentity(code, a.dtype, a.reduction);
        code.set(local);
        registers.set(a, local);
      } else fillIdentity(code, parameters[a.parameter]!, a, lanes);
    }

    // One pass over the inner points of a row. `from`/`to` bound the last axis (in elements).
    const innerPass = (stage: number, from: Bound, to: Bound) => {
      const order = valuesOf(stage);
      const spills = [...spilled.keys()].filter((node) => node.stage === stage);
      const myReduces = reduces.filter((r) => r.input.stage === stage);
      const tails = new Map<RowReduce, Local>();
      const registerTails = new Map<Accumulate, Local>();
      const myAccumulates = accumulates.filter((a) => !a.rows && a.input.stage === stage);
      const myStores = wideStores.filter((w) => w.node.stage === stage);
      if (spills.length + myReduces.length + myAccumulates.length + myStores.length === 0) return;
      for (const r of myReduces) {
        for (const map of [value, undefined]) {
          const local = map ? map.get(r.result)! : code.local("v128");
          pushIdentity(code, r.result.dtype, r.reduction);
          code.set(local);
          if (!map) tails.set(r, local);
        }
      }
      for (const a of myAccumulates) {
        if (a.kept !== 1) continue;
        const local = code.local("v128");
        pushIdentity(code, a.dtype, a.reduction);
        code.set(local);
        registerTails.set(a, local);
      }
      const points = innerPoints(code, inner, lanes, pointer);
      const { pushAddress, holdAddress, pushLinear } = points;
      const short =
        !flat && innerSize <= straightLine && (innerSize / lanes + 3) * order.length <= straightLineCode;
      // A maximum that keeps NaN waits a dozen cycles for the one before it. Where a stage has one, its reductions have
      // two registers, which take turns.
      const others = new Map<RowReduce, Local>();
      if (!short && myReduces.some((r) => r.reduction === "max"))
        for (const r of myReduces) {
          const local = code.local("v128");
          pushIdentity(code, r.result.dtype, r.reduction);
          code.set(local);
          others.set(r, local);
        }
      const body = (mode: "vector" | "lane", second = false) => {
        const inLoop = new Map<Node, Local>();
        for (const node of order) {
          const local = code.local("v128");
          if (spilled.has(node) && node.stage < stage) {
            const rest = pushScratch(node);
            load(code, scratchType(node), lanes, mode === "vector" ? "vector" : "splat", rest);
            code.set(local);
          } else if (node.body.kind === "load") {
            const { access } = node.body;
            const last = access.pattern.inner.at(-1)!;
            if (mode === "vector" && last !== bytesOf(access.dtype) && last !== 0) {
              const address = holdAddress(access);
              loadStrided(code, node.dtype, lanes, address, last);
              code.release("i32", address);
            } else {
              const rest = pushAddress(access);
              load(code, node.dtype, lanes, mode === "vector" && last !== 0 ? "vector" : "splat", rest);
            }
            code.set(local);
          } else if (node.body.kind === "index") {
            const { pattern, offset: constantOffset } = node.body;
            const last = pattern.inner.at(-1)!;
            points.pushIndex(offset[pattern.id]!, pattern, constantOffset);
            code.emit("i32x4.splat");
            if (mode === "vector" && last !== 0) {
              code.i32x4([0, last, 2 * last, 3 * last]);
              code.emit("i32x4.add");
            }
            code.set(local);
          } else if (node.body.kind === "apply") {
            apply(code, node.body.op, node.dtype, node.body.inputs, (n) =>
              code.get(inLoop.get(n) ?? value.get(n)!),
            );
            code.set(local);
          }
          inLoop.set(node, local);
        }
        const read = (node: Node) => inLoop.get(node) ?? value.get(node)!;
        for (const node of spills) {
          const rest = pushScratch(node);
          code.get(read(node));
          store(code, scratchType(node), lanes, mode, rest);
        }
        for (const s of myStores) {
          const last = s.access.pattern.inner.at(-1)!;
          if (mode === "vector" && last !== bytesOf(s.access.dtype)) {
            const address = holdAddress(s.access);
            const stored = code.local("v128");
            code.get(read(s.node));
            toMemory(code, s.access.dtype);
            code.set(stored);
            storeStrided(code, s.access.dtype, lanes, address, last, stored);
            code.release("i32", address);
            code.release("v128", stored);
          } else {
            const rest = pushAddress(s.access);
            code.get(read(s.node));
            toMemory(code, s.access.dtype);
            store(code, s.access.dtype, lanes, mode, rest);
          }
        }
        for (const r of myReduces) {
          const target = mode === "lane" ? tails.get(r)! : second ? others.get(r)! : value.get(r.result)!;
          code.get(target);
          code.get(read(r.input));
          combine(code, r.result.dtype, r.reduction);
          code.set(target);
        }
        for (const a of myAccumulates) {
          if (a.kept === 1) {
            const target = mode === "vector" ? registers.get(a)! : registerTails.get(a)!;
            code.get(target);
            code.get(read(a.input));
            combine(code, a.dtype, a.reduction);
            code.set(target);
          } else {
            const address = code.local("i32");
            const rest = pushLinear(parameters[a.parameter]!, bytesOf(a.dtype));
            code.tee(address);
            code.get(address);
            load(code, a.dtype, lanes, mode === "vector" ? "vector" : "splat", rest);
            code.get(read(a.input));
            combine(code, a.dtype, a.reduction);
            store(code, a.dtype, lanes, mode, rest);
            code.release("i32", address);
          }
        }
        for (const local of inLoop.values()) code.release("v128", local);
      };
      const scratchType = (node: Node) => (node.dtype === "bool" ? "i32" : node.dtype);
      const pushScratch = (node: Node): number =>
        pushLinear(scratchBase, bytesOf(node.dtype), spilled.get(node)! * rowBytes);
      if (short) points.writeOut(body);
      else points.walk(from, to, others.size > 0, body);
      for (const r of myReduces) {
        const result = value.get(r.result)!;
        const other = others.get(r);
        if (other !== undefined) {
          code.get(result);
          code.get(other);
          combine(code, r.result.dtype, r.reduction);
          code.set(result);
          code.release("v128", other);
        }
        acrossLanes(code, r.result.dtype, lanes, r.reduction, result);
        code.get(result);
        code.get(tails.get(r)!);
        combine(code, r.result.dtype, r.reduction);
        code.set(result);
        code.release("v128", tails.get(r)!);
      }
      for (const [a, tail] of registerTails) {
        // The tail holds one element in every lane: only one of them counts.
        const register = registers.get(a)!;
        code.get(register);
        if (a.reduction === "sum") {
          code.get(tail);
          code.i32x4(a.dtype === "f64" ? [-1, -1, 0, 0] : [-1, 0, 0, 0]);
          code.emit("v128.and");
        } else code.get(tail);
        combine(code, a.dtype, a.reduction);
        code.set(register);
        code.release("v128", tail);
      }
      points.release();
    };

    const setPointers = () => {
      for (const access of accesses) {
        code.get(parameters[access.parameter]!);
        code.get(offset[access.pattern.id]!);
        code.emit("i32.add");
        code.set(pointer[access.parameter]!);
      }
    };
    const row = (from: Bound, to: Bound) => {
      for (let stage = 0; stage < stages.count; stage++) {
        for (const node of nodes)
          if (node.level === 1 && node.stage === stage && need.has(node) && node.body.kind !== "reduced")
            emitUniform(node);
        for (const s of rowStores) {
          if (s.node.stage !== stage) continue;
          code.get(pointer[s.access.parameter]!);
          code.get(value.get(s.node)!);
          toMemory(code, s.access.dtype);
          store(code, s.access.dtype, lanes, "lane");
        }
        for (const a of accumulates) {
          if (!a.rows || a.input.stage !== stage) continue;
          const register = registers.get(a)!;
          code.get(register);
          code.get(value.get(a.input)!);
          combine(code, a.dtype, a.reduction);
          code.set(register);
        }
        innerPass(stage, from, to);
      }
      for (const node of nodes) {
        const local = value.get(node);
        if (node.level === 1 && node.body.kind !== "reduced" && local !== undefined) {
          code.release("v128", local);
          value.delete(node);
        }
      }
    };

    if (flat) {
      for (const local of offset) {
        code.i32(0);
        code.set(local);
      }
      setPointers();
      code.get(begin);
      code.get(end);
      code.emit("i32.lt_s");
      code.if(() => row(begin, end));
    } else {
      overRows(code, outer, begin, end, patterns, offset, () => {
        setPointers();
        row({ constant: 0 }, { constant: lastExtent });
      });
    }
    for (const a of accumulates) {
      const register = registers.get(a);
      if (register === undefined) continue;
      if (!a.rows) acrossLanes(code, a.dtype, lanes, a.reduction, register);
      code.get(parameters[a.parameter]!);
      code.get(register);
      store(code, a.dtype, lanes, "lane");
    }
  };
  return { key, scratch, write };
}

/** Fills a thread's partial result with the reduction's identity. */
function fillIdentity(code: Code, address: Local, a: Accumulate, lanes: Lanes): void {
  const at = code.local("i32");
  const bytes = bytesOf(a.dtype);
  code.for(at, { constant: 0 }, { constant: a.kept * bytes }, bytes, () => {
    code.get(address);
    code.get(at);
    code.emit("i32.add");
    pushIdentity(code, a.dtype, a.reduction);
    store(code, a.dtype, lanes, "lane");
  });
  code.release("i32", at);
}
