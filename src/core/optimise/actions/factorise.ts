import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { int, intOf, ints, intsOf, stringOf, withAttributes } from '../../graph/attributes';
import { unique } from '../../graph/finishGraph';
import { contextOf } from '../../graph/inferShapes';
import { indexOf, type Attributes, type GraphNode, type ModelGraph } from '../../graph/modelGraph';
import { float32Array } from '../../graph/numeric';
import { familyOf } from '../../graph/ops/registry';
import { tensorOf, type Tensor } from '../../graph/tensor';
import type { FactoriseStep } from '../plan';
import { readWeights, redrawn, rewritten, StepError, type Action } from './action';

/**
 * The best approximation of a layer's weights of a rank (Eckart and Young 1936), as two layers. A convolution becomes one of
 * fewer channels and one of 1 x 1 (Zhang, Zou, He, Sun 2015), or one of columns and one of rows (Jaderberg, Vedaldi, Zisserman 2014).
 */
export const factorise: Action<FactoriseStep> = {
  name: 'factorise',
  structural: true,
  check(fields) {
    const way = fields.oneOf('way', ['channels', 'spatial']);
    return { action: 'factorise', layer: fields.text('layer'), rank: fields.number('rank', 'a whole number from 1 up', (rank) => Number.isInteger(rank) && rank >= 1), ...(way && { way }) };
  },
  async apply({ layer, rank, way = 'channels' }, { graph }) {
    const node = linearNode(graph, layer);
    const refuse = (reason: string) => ({ graph, refusals: [{ layer, reason }] });
    const weight = graph.tensors.get(node.inputs[1]!);
    if (!weight) return refuse('its weights are computed in the model');
    if ((indexOf(graph).consumers.get(weight.name)?.length ?? 0) > 1) return refuse(`its weights ${weight.name} are shared with another operator`);
    const conv = node.op === 'Conv';
    if (conv && intOf(node, 'group', 1) !== 1) return refuse('its kernels read groups of channels, so that there is no one matrix to factorise');
    if (conv && stringOf(node, 'auto_pad', 'NOTSET') !== 'NOTSET') return refuse('it pads by a rule that depends on its kernel');
    if (conv && way === 'spatial' && weight.shape.length !== 4) return refuse('only a convolution of pictures has columns and rows');
    if (!conv && weight.shape.length !== 2) return refuse('its weights are not one matrix');
    if (node.op === 'Gemm' && intOf(node, 'transA', 0)) return refuse('it reads its input transposed');
    const { values, shape } = await readWeights(graph, weight.name);
    const plan = conv ? way === 'spatial' ? spatial(node, shape) : channels(node, shape) : dense(node, shape);
    const most = Math.min(plan.rows, plan.columns);
    if (rank > most) throw new StepError(layer, `a rank of ${rank} is impossible, its weights have rank ${most} at most`);
    if (most > largestRank) return refuse(`its weights have more than ${largestRank} directions, too many to factorise here`);
    const { left, right } = lowRank(plan.matrix(values), plan.rows, plan.columns, rank);
    const names = new Set([...graph.tensors.keys(), ...graph.values.keys(), ...graph.nodes.map(({ name }) => name), ...graph.layers.map(({ name }) => name)]);
    const first = unique(`${node.name}_reduce`, names);
    const [reduced, reduceWeight] = [unique(`${first}/output`, names), unique(`${first}/weight`, names)];
    const expandWeight = unique(`${node.name}_expand/weight`, names);
    const { reduce, expand } = plan.parts(left, right, rank);
    const like = (name: string, part: Part): Tensor => rewritten({ ...tensorOf(name, float32Array(part.values, part.shape)), dtype: weight.dtype }, part.values, part.shape);
    const tensors = new Map<string, Tensor>([...graph.tensors, [reduceWeight, like(reduceWeight, reduce)], [expandWeight, like(expandWeight, expand)]]);
    const before: GraphNode = { ...plan.reduce(node), name: first, inputs: [node.inputs[0]!, reduceWeight], outputs: [reduced], layer: first };
    const after: GraphNode = { ...plan.expand(node), inputs: [reduced, expandWeight, ...node.inputs.slice(2)] };
    const { type } = indexOf(graph).layer.get(node.layer)!;
    const layers = graph.layers.flatMap((own) => (own.name !== node.layer ? [own]
      : [{ name: first, type, nodes: [first], tensors: [reduceWeight] }, { ...own, tensors: [...own.tensors.filter((name) => name !== weight.name), expandWeight] }]));
    const nodes = graph.nodes.flatMap((own) => (own === node ? [before, after] : [own]));
    return { graph: await redrawn(graph, { nodes, tensors, layers }), notes: [`${layer} is two layers of rank ${rank} now`] };
  },
  words: ({ layer, rank, way }) => `factorise ${layer} into two of rank ${rank}${way === 'spatial' ? ', columns and then rows' : ''}`,
};

const empty: Attributes = {};

/** The small side of a matrix beyond which its directions take minutes. */
const largestRank = 1500;

interface Part {
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

interface Factoring {
  readonly rows: number;
  readonly columns: number;
  matrix(values: Float32Array): Float32Array;
  /** left [rows, rank], right [rank, columns]. */
  parts(left: Float32Array, right: Float32Array, rank: number): { readonly reduce: Part; readonly expand: Part };
  reduce(node: GraphNode): Pick<GraphNode, 'op' | 'domain' | 'attributes'>;
  expand(node: GraphNode): GraphNode;
}

function linearNode(graph: ModelGraph, layer: string): GraphNode {
  const { layer: layers, node } = indexOf(graph);
  const context = contextOf(graph);
  const found = layers.get(layer);
  if (!found) throw new StepError(layer, 'the model has no such layer');
  const own = found.nodes.map((name) => node.get(name)!).find((member) => ['Conv', 'Gemm', 'MatMul'].includes(member.op) && familyOf(member)?.linear?.(member, context));
  if (!own) throw new StepError(layer, 'it is neither a dense layer nor a convolution');
  return own;
}

/** [in, out], or [out, in] where transposed. */
function dense(node: GraphNode, shape: readonly number[]): Factoring {
  const [rows, columns] = shape as [number, number];
  const flipped = node.op === 'Gemm' && intOf(node, 'transB', 0) === 1;
  return {
    rows, columns, matrix: (values) => values,
    parts: (left, right, rank) => {
      const [one, two] = [{ values: left, shape: [rows, rank] }, { values: right, shape: [rank, columns] }];
      return flipped ? { reduce: two, expand: one } : { reduce: one, expand: two };
    },
    reduce: ({ op, domain }) => ({ op, domain, attributes: flipped ? { transB: int(1) } : empty }),
    expand: (own) => own,
  };
}

function channels(node: GraphNode, shape: readonly number[]): Factoring {
  const [out, ...rest] = shape as [number, ...number[]];
  const spatialAxes = rest.length - 1;
  return {
    rows: out, columns: rest.reduce((product, size) => product * size, 1), matrix: (values) => values,
    parts: (left, right, rank) => ({ reduce: { values: right, shape: [rank, ...rest] }, expand: { values: left, shape: [out, rank, ...new Array<number>(spatialAxes).fill(1)] } }),
    reduce: ({ op, domain, attributes }) => ({ op, domain, attributes }),
    expand: (own) => withAttributes(own, {
      drop: ['pads', 'strides', 'dilations'], set: { kernel_shape: ints(new Array<number>(spatialAxes).fill(1)) },
    }),
  };
}

/** [out, in, kh, kw] as the matrix [(in, kh), (out, kw)]. */
function spatial(_: GraphNode, shape: readonly number[]): Factoring {
  const [out, inputs, kh, kw] = shape as [number, number, number, number];
  const part = (node: GraphNode, which: 0 | 1): GraphNode => {
    const pads = intsOf(node, 'pads') ?? [0, 0, 0, 0];
    const only = (values: readonly number[], rest: number): number[] => values.map((value, axis) => (axis % 2 === which ? value : rest));
    return withAttributes(node, { set: {
      kernel_shape: ints(only([kh, kw], 1)), pads: ints(only(pads, 0)),
      strides: ints(only(intsOf(node, 'strides') ?? [1, 1], 1)), dilations: ints(only(intsOf(node, 'dilations') ?? [1, 1], 1)),
    } });
  };
  const at = (o: number, i: number, y: number, x: number): number => ((o * inputs + i) * kh + y) * kw + x;
  return {
    rows: inputs * kh, columns: out * kw,
    matrix: (values) => {
      const result = new Float32Array(values.length);
      for (let o = 0; o < out; o++) for (let i = 0; i < inputs; i++) for (let y = 0; y < kh; y++) for (let x = 0; x < kw; x++) {
        result[(i * kh + y) * out * kw + o * kw + x] = values[at(o, i, y, x)]!;
      }
      return result;
    },
    parts: (left, right, rank) => {
      const columns = new Float32Array(rank * inputs * kh);
      for (let row = 0; row < inputs * kh; row++) for (let k = 0; k < rank; k++) columns[k * inputs * kh + row] = left[row * rank + k]!;
      const rows = new Float32Array(out * rank * kw);
      for (let k = 0; k < rank; k++) for (let o = 0; o < out; o++) for (let x = 0; x < kw; x++) rows[(o * rank + k) * kw + x] = right[k * out * kw + o * kw + x]!;
      return { reduce: { values: columns, shape: [rank, inputs, kh, 1] }, expand: { values: rows, shape: [out, rank, 1, kw] } };
    },
    reduce: (own) => part(own, 0),
    expand: (own) => part(own, 1),
  };
}

/** left [rows, rank] times right [rank, columns], by the eigenvectors of the smaller Gram matrix. */
export function lowRank(values: Float32Array, rows: number, columns: number, rank: number): { left: Float32Array; right: Float32Array } {
  const tall = rows > columns;
  const small = tall ? columns : rows;
  const matrix = new Matrix(rows, columns);
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) matrix.set(row, column, values[row * columns + column]!);
  const gram = tall ? matrix.transpose().mmul(matrix) : matrix.mmul(matrix.transpose());
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(gram, { assumeSymmetric: true });
  const order = realEigenvalues.map((value, index) => ({ value, index })).sort((one, two) => two.value - one.value).slice(0, rank).map(({ index }) => index);
  const basis = eigenvectorMatrix.subMatrixColumn(order); // [small, rank]
  const flat = (from: Matrix): Float32Array => Float32Array.from(from.to1DArray());
  if (basis.rows !== small) throw new RangeError('the basis does not fit');
  return tall ? { left: flat(matrix.mmul(basis)), right: flat(basis.transpose()) } : { left: flat(basis), right: flat(basis.transpose().mmul(matrix)) };
}
