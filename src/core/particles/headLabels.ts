import { couplingOf, image, keyOf, preimage, type Tie } from '../graph/coupling';
import type { ModelGraph } from '../graph/modelGraph';
import type { AxisRef, WeightSlice } from '../graph/ops/operator';

/** Which head each index of an axis belongs to; -1 where it is no single head's. */
export interface LabelledAxis {
  readonly ref: AxisRef;
  readonly labels: Int32Array;
}

/**
 * Carries the heads of one axis to every axis that operators tie to it, index by index: through reshapes that put batch and
 * heads on one axis, projections that make queries, keys and values at once in any order, tables with a column a head.
 */
export function headLabels(graph: ModelGraph, start: AxisRef, headOf: (index: number) => number): ReadonlyMap<string, LabelledAxis> {
  const coupling = couplingOf(graph);
  const found = new Map<string, LabelledAxis>();
  const size = coupling.size(start);
  if (size === undefined || size > mostIndices) return found;
  const open: { ref: AxisRef; labels: Int32Array }[] = [{ ref: start, labels: Int32Array.from({ length: size }, (_, index) => headOf(index)) }];
  for (let at = open.pop(); at; at = open.pop()) {
    const key = keyOf(at.ref);
    const known = found.get(key);
    const labels = known ? joined(known.labels, at.labels) : at.labels;
    if (!labels) continue;
    found.set(key, { ref: at.ref, labels });
    for (const tie of coupling.ties.get(key) ?? []) {
      const forward = tie.aKey === key;
      const target = forward ? tie.b : tie.a;
      const length = coupling.size(target);
      if (length === undefined || length > mostIndices || tie.size === undefined) continue;
      const next = forward ? forwards(tie, labels, length) : backwards(tie, labels, length);
      if (next.some((label) => label >= 0)) open.push({ ref: target, labels: next });
    }
  }
  return found;
}

/** The slice of a tensor that the labels say, where it is a regular one: blocks of one length, repeated at one stride. */
export function sliceOf({ ref, labels }: LabelledAxis, role: WeightSlice['role'], shared = 1): WeightSlice | undefined {
  let block = 0;
  while (labels[block] === 0) block++;
  const count = labels.reduce((most, label) => Math.max(most, label), -1) + 1;
  const every = block * count;
  if (!block || labels.length % every !== 0 || labels.some((label, index) => label !== Math.floor((index % every) / block))) return undefined;
  return { tensor: ref.value, axis: ref.axis, role, ...(block > 1 && { block }), ...(labels.length > every && { every }), ...(shared > 1 && { shared }) };
}

/** Widths of flattened images are no heads. */
const mostIndices = 2 ** 20;

/** What both say; undefined when the second says nothing new. */
function joined(known: Int32Array, more: Int32Array): Int32Array | undefined {
  if (known.every((label, index) => label >= 0 || more[index]! < 0)) return undefined;
  return known.map((label, index) => (label >= 0 ? label : more[index]!));
}

function forwards(tie: Tie, labels: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const next = new Int32Array(length).fill(-1);
  labels.forEach((label, index) => {
    if (label >= 0) for (const target of image(tie, index)) if (target < length) next[target] = label;
  });
  return next;
}

/** An index is a head's when all that it became is. */
function backwards(tie: Tie, labels: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const next = new Int32Array(length).fill(unseen);
  labels.forEach((label, index) => {
    const source = preimage(tie, index);
    if (source < 0 || source >= length) return;
    next[source] = next[source] === unseen || next[source] === label ? label : -1;
  });
  return next.map((label) => (label === unseen ? -1 : label));
}

const unseen = -2;
