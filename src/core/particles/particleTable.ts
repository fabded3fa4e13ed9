import { particleId, parseParticleId, type ParticleGroup } from './particle';

/** Where a column's numbers come from. */
export interface Provenance {
  readonly source: 'weights' | 'data' | 'synthetic';
  /** Recipe or data file, as the user named it. */
  readonly data?: string;
  readonly samples?: number;
  readonly engine?: string;
  readonly seed?: number;
  /** Exact, or an estimate; an estimate says its measured error as soon as exact values exist. */
  readonly exact: boolean;
  readonly error?: {
    readonly spearman: number;
    readonly pearson: number;
    /** Number of particles whose exact values it was compared with. */
    readonly comparedWith: number;
    /** Mean distance from them, in the column's unit. */
    readonly absolute?: number;
  };
}

export interface ColumnInfo {
  /** camelCase, unique, stable: what --columns and settings name. */
  readonly name: string;
  readonly title: string;
  /** '' for plain numbers. */
  readonly unit: string;
  /** One sentence: what a value says. */
  readonly meaning: string;
  /** How charts colour it: around zero, from zero up, or as categories. */
  readonly scale: 'diverging' | 'sequential' | 'categorical';
  /** Sum over a layer's particles makes sense (parameters), or only an average does. */
  readonly additive?: boolean;
  /** A column whose values are row numbers of other particles (most similar particle). */
  readonly refersTo?: 'row';
}

export interface Column extends ColumnInfo {
  readonly provenance: Provenance;
  /** One a row; NaN where it does not apply or is not computed yet. */
  readonly values: Float32Array;
}

/** One row a particle, one typed column a measurement; every analysis adds to it and every face reads it. */
export class ParticleTable {
  readonly rowCount: number;
  private readonly byName = new Map<string, Column>();

  constructor(readonly groups: readonly ParticleGroup[]) {
    this.rowCount = groups.reduce((sum, group) => sum + group.count, 0);
  }

  get columns(): readonly Column[] {
    return [...this.byName.values()];
  }

  column(name: string): Column | undefined {
    return this.byName.get(name);
  }

  /** Adds a column or replaces the one of that name. */
  add(column: Column): void {
    if (column.values.length !== this.rowCount) {
      throw new RangeError(`column ${column.name} has ${column.values.length} values for ${this.rowCount} particles`);
    }
    this.byName.set(column.name, column);
  }

  groupOf(row: number): ParticleGroup {
    let low = 0;
    let high = this.groups.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.groups[middle]!.firstRow <= row) low = middle;
      else high = middle - 1;
    }
    const group = this.groups[low];
    if (!group || row < 0 || row >= this.rowCount) throw new RangeError(`no particle in row ${row}`);
    return group;
  }

  group(layer: string): ParticleGroup | undefined {
    return this.groups.find((group) => group.layer === layer);
  }

  id(row: number): string {
    const group = this.groupOf(row);
    return particleId({ layer: group.layer, kind: group.kind, index: row - group.firstRow });
  }

  /** The row of an id, or undefined when this model has no such particle. */
  row(id: string): number | undefined {
    const ref = parseParticleId(id);
    if (!ref) return undefined;
    const group = this.groups.find((candidate) => candidate.layer === ref.layer && candidate.kind === ref.kind);
    return group && ref.index < group.count ? group.firstRow + ref.index : undefined;
  }

  /** An empty column's values: all NaN. */
  emptyValues(): Float32Array {
    return new Float32Array(this.rowCount).fill(NaN);
  }
}
