import type { AxisRef, ParticleKind, WeightSlice } from '../graph/ops/operator';

/** The particles of one layer: `count` of them, named `<layer>/<kind>:<index>`. */
export interface ParticleGroup {
  readonly layer: string;
  readonly kind: ParticleKind;
  readonly count: number;
  /** Row of its first particle in the table. */
  readonly firstRow: number;
  /**
   * The value right behind the operator whose axis enumerates the particles (pre-activation); for heads that never have an
   * axis of their own (batch and heads in one), the axis inside a reshape that does, which is no value's.
   */
  readonly producer: AxisRef;
  /** Where the particles act on the rest of the model: behind their own norm, activation and pooling. Masking these is ablation. */
  readonly acts: readonly Act[];
  readonly slices: readonly WeightSlice[];
}

/**
 * An axis on which particles act. Without `placed` they lie one behind the other, in equal blocks when there are fewer than
 * indices. Normalisation behind a flattening or a concatenation still belongs to them, where they have other places.
 */
export interface Act extends AxisRef {
  readonly placed?: Placement;
}

/** Particle p has the indices offset + o * every + p * block + r, for o in [0, outer) and r in [0, block). */
export interface Placement {
  readonly offset: number;
  readonly block: number;
  readonly outer: number;
  readonly every: number;
  /** The last axis in front of this one with one index a particle. */
  readonly from: AxisRef;
}

/** Where the particles of an act last had an axis of their own. */
export function plainAct(act: Act): AxisRef {
  return act.placed?.from ?? act;
}

export interface ParticleRef {
  readonly layer: string;
  readonly kind: ParticleKind;
  readonly index: number;
}

/** `conv1/kernel:17`: stable and readable; what command line, tree, notebook and plans use. */
export function particleId({ layer, kind, index }: ParticleRef): string {
  return `${layer}/${kind}:${index}`;
}

const idPattern = /^(.+)\/(kernel|neuron|unit|head|factor):(\d+)$/;

/** The reference an id names, or undefined when it is not an id. */
export function parseParticleId(id: string): ParticleRef | undefined {
  const match = idPattern.exec(id);
  if (!match) return undefined;
  return { layer: match[1]!, kind: match[2] as ParticleKind, index: Number(match[3]) };
}
