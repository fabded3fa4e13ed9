import { isFloat } from '../graph/numeric';
import type { ParticleKind, WeightSlice } from '../graph/ops/operator';
import type { Module, Parameter } from './namedModules';

/** Weights of a module that form one set of particles, or none (`kind` missing). */
export interface WeightGroup {
  readonly kind?: ParticleKind;
  readonly tensors: readonly string[];
  readonly slices: readonly NamedSlice[];
}

export interface NamedSlice extends Pick<WeightSlice, 'axis' | 'role'> {
  readonly tensor: string;
  /** How often the particles come along the axis, one behind the other (4 in an LSTM). */
  readonly gates?: number;
}

/**
 * What a module is, told from the names and shapes of its weights: rank 3 to 5 is a convolution (transposed when the bias
 * fits its second axis), rank 2 an embedding when it is called one and dense otherwise, rank 1 a normalisation.
 */
export function judgeModule(module: Module): { readonly type: string; readonly groups: readonly WeightGroup[] } {
  const recurrent = judgeRecurrent(module);
  if (recurrent) return recurrent;
  const vectors = module.parameters.filter(({ tensor }) => tensor.shape.length <= 1 || !isFloat(tensor.dtype));
  const matrices = module.parameters.filter((parameter) => !vectors.includes(parameter));
  const judged = matrices.map((main) => judgeMatrix(module, main, vectors, matrices.length === 1));
  const taken = new Set(judged.flatMap(({ group }) => group.tensors));
  const rest = vectors.map(({ tensor }) => tensor.name).filter((name) => !taken.has(name));
  const groups = judged.map(({ group }) => group);
  if (rest.length) groups.push({ tensors: rest, slices: [] });
  const types = judged.map(({ type }) => type);
  return { type: types.find((type) => type !== 'Parameter') ?? types[0] ?? vectorType(module), groups };
}

interface Judged {
  readonly type: string;
  readonly group: WeightGroup;
}

function judgeMatrix(module: Module, main: Parameter, vectors: readonly Parameter[], alone: boolean): Judged {
  const { tensor, role } = main;
  const { shape } = tensor;
  const rank = shape.length;
  const biases = vectors.filter((vector) => isBiasOf(vector, main, alone));
  const free: Judged = { type: 'Parameter', group: { tensors: [tensor.name], slices: [] } };
  if (rank > 5 || shape.includes(0)) return free;
  if (rank === 2 && !biases.length && isEmbedding(module.name, role)) {
    return { type: 'Embedding', group: { kind: 'factor', tensors: [tensor.name], slices: [{ tensor: tensor.name, axis: 1, role: 'weight' }] } };
  }
  // Tokens and positions have three axes too, and the scale of a normalised weight as many as the weight.
  if (rank > 2 && !weightRole.test(role) && (rank === 3 || /emb|token|pos|_g$|mask/i.test(role))) return free;
  const lastIsOut = /kernel$/i.test(role);
  const outAxes = lastIsOut ? [rank - 1, 0] : [0, 1];
  const lengths = biases.map((bias) => bias.tensor.shape[0]);
  const axis = outAxes.find((candidate) => lengths.includes(shape[candidate])) ?? outAxes[0]!;
  const own = biases.filter((bias) => bias.tensor.shape[0] === shape[axis]);
  const transposed = rank > 2 && !lastIsOut && axis === 1;
  return {
    type: role === 'in_proj_weight' ? 'MultiheadAttention' : rank === 2 ? 'Linear' : `Conv${transposed ? 'Transpose' : ''}${rank - 2}d`,
    group: {
      kind: rank === 2 ? 'neuron' : 'kernel',
      tensors: [tensor, ...own.map((bias) => bias.tensor)].map(({ name }) => name),
      slices: [
        { tensor: tensor.name, axis, role: 'weight' },
        ...own.map(({ tensor: { name }, role: ownRole }): NamedSlice => ({ tensor: name, axis: 0, role: biasRole.test(ownRole) ? 'bias' : 'norm' })),
      ],
    },
  };
}

const weightRole = /(^|_)(weights?|kernel|w|weight_v)$/i;
const biasRole = /(^|_)(bias|b|beta)$/i;

/** in_proj_bias goes with in_proj_weight; where a module has one matrix, its vectors are that matrix's. */
function isBiasOf({ role, tensor }: Parameter, main: Parameter, alone: boolean): boolean {
  if (tensor.shape.length !== 1 || !isFloat(tensor.dtype)) return false;
  return alone ? true : role.replace(/bias$/i, '') === main.role.replace(/(weight|kernel)$/i, '') && biasRole.test(role);
}

function isEmbedding(module: string, role: string): boolean {
  const own = module.split(/[./]/).at(-1) ?? module;
  if (/^embeddings?$|^(cls|pos|position|mask)_?(token|emb\w*)$/i.test(role)) return true;
  return /emb|^wte$|^wpe$|tok(en)?s?($|_)|vocab|lookup/i.test(own) && !/out|proj|head|linear|dense|norm/i.test(own);
}

function vectorType({ name, parameters }: Module): string {
  const roles = new Set(parameters.map(({ role }) => role));
  if (roles.has('running_mean') || roles.has('moving_mean')) return 'BatchNorm';
  const weights = parameters.filter(({ tensor }) => isFloat(tensor.dtype));
  if (!weights.length) return 'Buffer';
  const own = name.split(/[./]/).at(-1) ?? name;
  const named = /norm|^ln|_ln$|^bn\d*$|layernorm/i.test(own) || roles.has('gamma');
  const pair = (roles.has('weight') || roles.has('scale')) && roles.has('bias');
  return weights.some(({ tensor }) => tensor.shape.length === 1) && (named || pair) ? 'LayerNorm' : 'Parameter';
}

const recurrentTypes: Readonly<Record<number, string>> = { 1: 'RNN', 3: 'GRU', 4: 'LSTM' };

/** weight_ih_l0, weight_hh_l0, ... as PyTorch names them; each layer and direction is a set of units. */
function judgeRecurrent(module: Module): { type: string; groups: WeightGroup[] } | undefined {
  const byRole = new Map(module.parameters.map(({ role, tensor }) => [role, tensor]));
  const suffixes = [...byRole.keys()].flatMap((role) => /^weight_ih(.*)$/.exec(role)?.[1] ?? []);
  let type: string | undefined;
  const groups: WeightGroup[] = [];
  for (const suffix of suffixes) {
    const [ih, hh] = [byRole.get(`weight_ih${suffix}`), byRole.get(`weight_hh${suffix}`)];
    if (ih?.shape.length !== 2 || hh?.shape.length !== 2 || ih.shape[0] !== hh.shape[0]) return undefined;
    const gates = hh.shape[0]! / hh.shape[1]!;
    type ??= recurrentTypes[gates];
    if (!type || recurrentTypes[gates] !== type) return undefined;
    const biases = [byRole.get(`bias_ih${suffix}`), byRole.get(`bias_hh${suffix}`)]
      .filter((bias) => bias !== undefined && bias.shape.length === 1 && bias.shape[0] === ih.shape[0])
      .map((bias) => bias!.name);
    groups.push({
      kind: 'unit', tensors: [ih.name, hh.name, ...biases],
      slices: [
        { tensor: ih.name, axis: 0, role: 'weight', gates },
        { tensor: hh.name, axis: 0, role: 'recurrent', gates },
        { tensor: hh.name, axis: 1, role: 'recurrent' },
        ...biases.map((tensor): NamedSlice => ({ tensor, axis: 0, role: 'bias', gates })),
      ],
    });
  }
  if (!type) return undefined;
  const taken = new Set(groups.flatMap((group) => group.tensors));
  const rest = module.parameters.map(({ tensor }) => tensor.name).filter((name) => !taken.has(name));
  return { type, groups: rest.length ? [...groups, { tensors: rest, slices: [] }] : groups };
}
