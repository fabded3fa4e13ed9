import { floatOf, intOf } from '../../graph/attributes';
import { contextOf } from '../../graph/inferShapes';
import { indexOf, type GraphNode, type ModelGraph } from '../../graph/modelGraph';
import { asFloat32 } from '../../graph/numeric';
import { slidOver, windowsOf } from '../../graph/ops/windows';
import type { NdArray } from '../../graph/tensor';

/**
 * An operator y = W x + b whose weights can make up for what is missing in its input: a plain convolution or a matrix product
 * with a weight of its own. Seen as a matrix W [outputs, columns]; a convolution has `taps` columns for each input channel.
 */
export interface LinearSite {
  readonly node: GraphNode;
  readonly input: string;
  readonly output: string;
  readonly weight: string;
  readonly bias?: string;
  /** Axes of the weight tensor. */
  readonly inAxis: number;
  readonly outAxis: number;
  readonly outputs: number;
  /** Input channels or features. */
  readonly channels: number;
  readonly taps: number;
  /** The running mean of a batch normalisation right behind it, which takes over what a bias would do. */
  readonly mean?: string;
}

export function linearSites(graph: ModelGraph): LinearSite[] {
  return graph.nodes.flatMap((node) => siteOf(graph, node) ?? []);
}

function siteOf(graph: ModelGraph, node: GraphNode): LinearSite | undefined {
  const [input = '', weight = '', bias = ''] = node.inputs;
  const tensor = graph.tensors.get(weight);
  const { consumers } = indexOf(graph);
  if (node.domain !== '' || tensor?.dtype !== 'float32' || contextOf(graph).isConstant(input) || consumers.get(weight)?.length !== 1) return undefined;
  if (bias && (graph.tensors.get(bias)?.dtype !== 'float32' || graph.tensors.get(bias)?.shape.length !== 1 || consumers.get(bias)?.length !== 1)) return undefined;
  const { shape } = tensor;
  const output = node.outputs[0]!;
  const common = { node, input, output, weight, ...(bias && { bias }), ...meanBehind(graph, output) };
  if (node.op === 'Conv' && intOf(node, 'group', 1) === 1 && shape.length >= 3) {
    return { ...common, inAxis: 1, outAxis: 0, outputs: shape[0]!, channels: shape[1]!, taps: shape.slice(2).reduce((product, size) => product * size, 1) };
  }
  if (shape.length !== 2) return undefined;
  const plain = node.op === 'Gemm' && intOf(node, 'transA', 0) === 0 && floatOf(node, 'alpha', 1) === 1 && floatOf(node, 'beta', 1) === 1;
  if (!plain && node.op !== 'MatMul') return undefined;
  const outAxis = node.op === 'Gemm' && intOf(node, 'transB', 0) === 1 ? 0 : 1;
  return { ...common, inAxis: 1 - outAxis, outAxis, outputs: shape[outAxis]!, channels: shape[1 - outAxis]!, taps: 1 };
}

function meanBehind(graph: ModelGraph, value: string): { readonly mean?: string } {
  const { consumers } = indexOf(graph);
  const [reader, ...others] = consumers.get(value) ?? [];
  const mean = reader?.op === 'BatchNormalization' && reader.inputs[0] === value ? reader.inputs[3]! : undefined;
  if (mean === undefined || others.length || graph.outputs.some(({ name }) => name === value)) return {};
  return graph.tensors.get(mean)?.dtype === 'float32' && consumers.get(mean)?.length === 1 ? { mean } : {};
}

/** W [outputs, columns], a copy. */
export async function matrixOf(graph: ModelGraph, site: LinearSite): Promise<Float32Array> {
  const values = asFloat32(await graph.tensors.get(site.weight)!.read());
  return site.outAxis === 0 ? Float32Array.from(values) : turned(values, site.channels, site.outputs);
}

/** What {@link matrixOf} gave, in the tensor's own layout. */
export function asStored(site: LinearSite, matrix: Float32Array): Float32Array {
  return site.outAxis === 0 ? matrix : turned(matrix, site.outputs, site.channels);
}

function turned(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column]!;
  return result;
}

/** Places at which a site is looked at: of each run of samples the same share, drawn once. */
export type Places = Int32Array;

/** Rows that a site has for each sample: places of a convolution, steps of a sequence. */
export function rowsPerSample(site: LinearSite, output: NdArray): number {
  return output.data.length / site.outputs / output.shape[0]!;
}

/** What goes into the operator at some places: [places, columns]. A place counts through the output: sample by sample, then by position. */
export function inputRows(graph: ModelGraph, site: LinearSite, x: NdArray, places: Places): Float32Array {
  const values = asFloat32(x);
  const columns = site.channels * site.taps;
  const rows = new Float32Array(places.length * columns);
  if (site.node.op !== 'Conv') {
    places.forEach((place, row) => rows.set(values.subarray(place * columns, (place + 1) * columns), row * columns));
    return rows;
  }
  const kernel = graph.tensors.get(site.weight)!.shape.slice(2);
  const spatial = x.shape.slice(2);
  const windows = windowsOf(site.node, spatial.length);
  const out = slidOver(spatial, kernel, windows) as number[];
  const [perSample, perChannel] = [product(out), product(spatial)];
  const begin = spatial.map((size, axis) => {
    if (windows.autoPad === 'VALID') return 0;
    if (!windows.autoPad.startsWith('SAME')) return windows.pads[axis]!;
    const missing = Math.max(0, (out[axis]! - 1) * windows.strides[axis]! + (kernel[axis]! - 1) * windows.dilations[axis]! + 1 - size);
    return windows.autoPad === 'SAME_UPPER' ? missing >> 1 : missing - (missing >> 1);
  });
  const offsets = new Int32Array(site.taps);
  places.forEach((place, row) => {
    const sample = Math.floor(place / perSample);
    for (let tap = 0; tap < site.taps; tap++) offsets[tap] = offsetOf(place % perSample, tap);
    for (let channel = 0; channel < site.channels; channel++) {
      const from = (sample * site.channels + channel) * perChannel;
      const to = row * columns + channel * site.taps;
      for (let tap = 0; tap < site.taps; tap++) if (offsets[tap]! >= 0) rows[to + tap] = values[from + offsets[tap]!]!;
    }
  });
  return rows;

  /** Of an element of the input, -1 in the padding. */
  function offsetOf(position: number, tap: number): number {
    let [offset, step] = [0, 1];
    for (let axis = spatial.length - 1; axis >= 0; axis--) {
      const at = (position % out[axis]!) * windows.strides[axis]! + (tap % kernel[axis]!) * windows.dilations[axis]! - begin[axis]!;
      if (at < 0 || at >= spatial[axis]!) return -1;
      offset += at * step;
      step *= spatial[axis]!;
      position = Math.floor(position / out[axis]!);
      tap = Math.floor(tap / kernel[axis]!);
    }
    return offset;
  }
}

/** What comes out of the operator at these places, of some of its outputs: [places, outputs]. */
export function outputRows(site: LinearSite, y: NdArray, places: Places, outputs: readonly number[]): Float32Array {
  const values = asFloat32(y);
  const rows = new Float32Array(places.length * outputs.length);
  const all = site.node.op === 'Conv' ? y.shape[1]! : y.shape.at(-1)!;
  const perSample = site.node.op === 'Conv' ? product(y.shape.slice(2)) : 1;
  places.forEach((place, row) => {
    const [sample, position] = [Math.floor(place / perSample), place % perSample];
    outputs.forEach((output, column) => {
      rows[row * outputs.length + column] = values[(sample * all + output) * perSample + position]!;
    });
  });
  return rows;
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((all, size) => all * size, 1);
}
