import type { Tensor } from '../../graph/tensor';

/** Finds the weights of a Keras layer in whatever way its file orders them. */
export interface KerasWeights {
  /**
   * `layer` is the way through nested models; `position` counts the layer's weights in Keras's own order. A suffix
   * 'forward/kernel' is a weight of a part of the layer: one of the names before it begins with 'forward'.
   */
  find(layer: readonly string[], suffix: string, position: number): Tensor | undefined;
  /** Every weight of a layer, for layers that Particlize does not know. */
  all(layer: readonly string[]): readonly Tensor[];
}

/**
 * Weights that are known by path-like names: 'conv1/kernel', 'model/conv1/kernel:0', 'lstm/lstm_cell/kernel'. Among
 * several that fit, the one that fits more of the layer's path and then the shortest wins.
 */
export function weightsByName(tensors: Iterable<Tensor>): KerasWeights {
  const bySegment = new Map<string, { tensor: Tensor; segments: readonly string[] }[]>();
  for (const tensor of tensors) {
    const segments = tensor.name.replace(/:\d+$/, '').split('/');
    for (const segment of new Set(segments.slice(0, -1))) {
      const list = bySegment.get(segment) ?? [];
      list.push({ tensor, segments });
      bySegment.set(segment, list);
    }
  }
  const score = (segments: readonly string[], layer: readonly string[]): number =>
    layer.filter((part) => segments.includes(part)).length * 1000 - segments.length;
  return {
    find(layer, suffix) {
      const candidates = (bySegment.get(layer[layer.length - 1] ?? '') ?? [])
        .filter(({ segments }) => endsWith(segments, suffix));
      const [best] = candidates.sort((left, right) => score(right.segments, layer) - score(left.segments, layer));
      return best?.tensor;
    },
    all(layer) {
      const list = bySegment.get(layer[layer.length - 1] ?? '') ?? [];
      const depth = Math.max(0, ...list.map(({ segments }) => layer.filter((part) => segments.includes(part)).length));
      return list
        .filter(({ segments }) => layer.filter((part) => segments.includes(part)).length === depth)
        .map(({ tensor }) => tensor);
    },
  };
}

/** Whether the last part of a name is the suffix, and the suffix's own first part is the beginning of one before it. */
export function endsWith(segments: readonly string[], suffix: string): boolean {
  const [last, part] = suffix.split('/').reverse();
  return segments[segments.length - 1] === last && (part === undefined || segments.slice(0, -1).some((segment) => segment.startsWith(part)));
}
