import { intOf } from '../attributes';
import { barriers, broadcastRelations, firstInput, firstOutput, range, sameAxes } from './axes';
import { fusedActivationGradient } from './gradients/activations';
import { fusedBlockGradient } from './gradients/attention';
import type { OperatorFamily, ParticleRule } from './operator';

/** Activations that ONNX Runtime's optimiser writes as one operator, with or without a bias. */
export const fusedActivations: OperatorFamily = {
  name: 'fusedActivations',
  ops: ['com.microsoft:Gelu', 'com.microsoft:FastGelu', 'com.microsoft:BiasGelu', 'com.microsoft:QuickGelu'],

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    return [{ dtype, shape }];
  },

  flow(node, context) {
    const [x = '', bias] = node.inputs;
    const y = firstOutput(node);
    return [
      ...sameAxes(x, y, context.facts(x).shape?.length ?? 0),
      ...(bias ? broadcastRelations(bias, y, context) : []),
    ];
  },

  gradient: fusedActivationGradient,
};

/** Blocks of transformers that the same optimiser fuses: shapes only, so that what follows them can be shown. */
export const fusedBlocks: OperatorFamily = {
  name: 'fusedBlocks',
  ops: ['com.microsoft:SkipLayerNormalization', 'com.microsoft:EmbedLayerNormalization', 'com.microsoft:Attention'],

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    if (node.op === 'SkipLayerNormalization') return [{ dtype, shape }, {}, {}, { dtype, shape }];
    const width = (input: number, axis: number): number | null => context.facts(node.inputs[input] ?? '').shape?.[axis] ?? null;
    if (node.op === 'EmbedLayerNormalization') {
      const table = context.facts(node.inputs[2] ?? '');
      return [{ dtype: table.dtype, shape: shape && [...shape, width(2, 1)] }, { dtype: 'int32', shape: shape?.slice(0, 1) }];
    }
    // Queries, keys and values are as wide as each other unless sizes are given apart.
    const all = width(1, 1);
    const equal = node.attributes['qkv_hidden_sizes'] === undefined && all !== null;
    return [{ dtype, shape: shape && [...shape.slice(0, -1), equal ? all / 3 : null] }];
  },

  flow(node, context) {
    const reason = `${node.op} is a fused operator, inside which Particlize cannot follow channels`;
    return [...node.inputs, ...node.outputs].flatMap((value) =>
      barriers(value, range(0, context.facts(value).shape?.length ?? 0), reason));
  },

  /** Heads of fused attention: queries, keys and values of all heads lie one behind the other in one weight. */
  particles(node, context): ParticleRule | undefined {
    const [x = '', weight = '', bias = ''] = node.inputs;
    const columns = context.facts(weight).shape?.[1];
    const rank = context.facts(x).shape?.length;
    const count = intOf(node, 'num_heads', 0);
    if (node.op !== 'Attention' || !count || typeof columns !== 'number' || node.attributes['qkv_hidden_sizes'] || rank === undefined) return undefined;
    const every = columns / 3;
    if (!context.isConstant(weight) || !Number.isInteger(every / count)) return undefined;
    const place = { block: every / count, every };
    return {
      kind: 'head', count, output: firstOutput(node), axis: rank - 1,
      slices: [
        { tensor: weight, axis: 1, role: 'query', ...place },
        ...(bias && context.isConstant(bias) ? [{ tensor: bias, axis: 0, role: 'bias', ...place } as const] : []),
      ],
    };
  },

  macs: () => undefined,

  gradient: fusedBlockGradient,
};
