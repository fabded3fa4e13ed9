import type { Task } from '../../graph/errors';
import type { ModelGraph } from '../../graph/modelGraph';
import type { ParticleKind } from '../../graph/ops/operator';
import type { ParticleGroup } from '../../particles/particle';
import type { ParticleTable } from '../../particles/particleTable';
import type { BehaviourContext } from '../behaviour';
import type { DetailData } from './detailData';

/** What a face shows of a detail before it is computed. */
export interface DetailInfo {
  /** camelCase, unique, stable: what --detail names. */
  readonly name: string;
  readonly title: string;
  /** One sentence: what is to be seen. */
  readonly meaning: string;
  /** Whether it is about one particle or about all of a layer together. */
  readonly of: 'particle' | 'layer';
  readonly needs: 'weights' | 'data' | 'labels';
  /** It shows one sample, which the caller may choose; the first one otherwise. */
  readonly ofSample?: boolean;
}

/**
 * A result with many values, that does not fit one number a particle: one file each, one register line in registry.ts.
 * What it gives is one of the few shapes of DetailData, which every face draws without knowing the detail.
 */
export type Detail = DetailInfo & {
  /** Only for these kinds of particles; all when undefined. */
  readonly kinds?: readonly ParticleKind[];
  /** Whether the model has what it takes at this place, judged without running; always when undefined. */
  applies?(graph: ModelGraph, group: ParticleGroup, table: ParticleTable): boolean;
} & (
  | { readonly needs: 'weights'; compute(context: WeightsContext, place: DetailPlace): Promise<DetailData> }
  | { readonly needs: 'data' | 'labels'; compute(context: BehaviourContext, place: DetailPlace): Promise<DetailData> }
);

export interface DetailPlace {
  readonly group: ParticleGroup;
  /** Index in the layer; 0 for details of a layer. */
  readonly particle: number;
  /** The sample to show, where a detail is of one; it is among those of the data. */
  readonly sample: number;
}

export interface WeightsContext {
  readonly graph: ModelGraph;
  readonly table: ParticleTable;
  readonly task?: Task;
}
