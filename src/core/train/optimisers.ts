import type { GraphBuilder } from '../graph/ops/operator';

export type OptimiserKind = 'sgd' | 'adam' | 'adamw';

/** What changes the weights; rules and defaults are PyTorch's, so that its published settings mean the same here. */
export interface OptimiserOptions {
  readonly kind: OptimiserKind;
  /** SGD: 0 is none. */
  readonly momentum?: number;
  readonly nesterov?: boolean;
  /** Added to the gradient as decay · weight; adamw takes it off the weight instead (Loshchilov and Hutter, 2019). */
  readonly weightDecay?: number;
  /** Adam's decay of the averages of gradients and of their squares. */
  readonly betas?: readonly [number, number];
  readonly epsilon?: number;
}

/** One optimiser's update as graph operators. */
export interface Optimiser {
  /** Names of the arrays of a weight's shape that it keeps from step to step; they begin with zeros. */
  readonly slots: readonly string[];
  /** Numbers that change from step to step, fed as scalars: computed here in double precision. `step` counts from 1. */
  scalars(learningRate: number, step: number): Readonly<Record<string, number>>;
  /** Adds the update of one weight; `slots` and the result's are in the order of `slots`. */
  update(builder: GraphBuilder, weight: string, gradient: string, slots: readonly string[], scalar: (name: string) => string): Updated;
}

export interface Updated {
  readonly weight: string;
  readonly slots: readonly string[];
}

export function optimiserFor(options: OptimiserOptions): Optimiser {
  return options.kind === 'sgd' ? sgd(options) : adam(options);
}

/** v ← momentum · v + g; w ← w - rate · v (Nesterov: w - rate · (g + momentum · v)), as PyTorch's SGD. */
function sgd({ momentum = 0, nesterov = false, weightDecay = 0 }: OptimiserOptions): Optimiser {
  return {
    slots: momentum === 0 ? [] : ['momentum'],
    scalars: (learningRate) => ({ learningRate }),
    update(builder, weight, gradient, [before], scalar) {
      const m = words(builder);
      const pull = m.plusScaled(gradient, weight, weightDecay);
      const speed = before === undefined ? pull : m.plusScaled(pull, before, momentum);
      const way = nesterov && before !== undefined ? m.plusScaled(pull, speed, momentum) : speed;
      return { weight: m.op('Sub', weight, m.op('Mul', way, scalar('learningRate'))), slots: before === undefined ? [] : [speed] };
    },
  };
}

/** Kingma and Ba, "Adam", 2015, algorithm 1, with the corrections of the averages folded into two scalars. */
function adam({ kind, weightDecay = kind === 'adamw' ? 0.01 : 0, betas: [first, second] = [0.9, 0.999], epsilon = 1e-8 }: OptimiserOptions): Optimiser {
  return {
    slots: ['average', 'square'],
    scalars: (learningRate, step) => ({
      stepSize: learningRate / (1 - first ** step),
      rootScale: 1 / Math.sqrt(1 - second ** step),
      ...(kind === 'adamw' && weightDecay !== 0 && { kept: 1 - learningRate * weightDecay }),
    }),
    update(builder, weight, gradient, [average = '', square = ''], scalar) {
      const m = words(builder);
      const decoupled = kind === 'adamw' && weightDecay !== 0;
      const pull = decoupled ? gradient : m.plusScaled(gradient, weight, weightDecay);
      const nextAverage = m.op('Add', m.scaled(average, first), m.scaled(pull, 1 - first));
      const nextSquare = m.op('Add', m.scaled(square, second), m.scaled(m.op('Mul', pull, pull), 1 - second));
      const root = m.op('Add', m.op('Mul', builder.node('Sqrt', [nextSquare]), scalar('rootScale')), m.number(epsilon));
      const move = m.op('Mul', m.op('Div', nextAverage, root), scalar('stepSize'));
      return { weight: m.op('Sub', decoupled ? m.op('Mul', weight, scalar('kept')) : weight, move), slots: [nextAverage, nextSquare] };
    },
  };
}

function words(builder: GraphBuilder) {
  const op = (name: string, a: string, b: string): string => builder.node(name, [a, b]);
  const number = (value: number): string => builder.float32([value], []);
  const scaled = (a: string, factor: number): string => op('Mul', a, number(factor));
  return {
    op, number, scaled,
    /** a + factor · b */
    plusScaled: (a: string, b: string, factor: number): string => (factor === 0 ? a : op('Add', a, factor === 1 ? b : scaled(b, factor))),
  };
}
