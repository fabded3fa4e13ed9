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
  readonly acts: readonly AxisRef[];
  readonly slices: readonly WeightSlice[];
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
