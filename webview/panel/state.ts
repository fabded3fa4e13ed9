import type { Focus, PanelSnapshot, Running } from '../../src/compute/panelProtocol';
import type { ColumnData, SuggestResult } from '../../src/compute/protocol';
import type { ParticleLayer } from '../../src/core/charts/particleLayers';
import { strings } from '../shared/strings';
import type { Theme } from '../shared/theme';

/** What the user chose to look at: survives reloads and moving the tab (VS Code keeps it for the panel). */
export interface ViewSettings {
  readonly column: string;
  readonly withinLayers: boolean;
  readonly search: string;
  /** Modules that are folded: their layers are not in the map. */
  readonly folded: readonly string[];
  readonly detail: string;
  readonly layer: string;
  /** Row of the particle shown; -1 is none. */
  readonly particle: number;
  readonly scatterX: string;
  readonly scatterY: string;
  /** Columns of the pair plot; a few telling ones when there are none. */
  readonly pairColumns: readonly string[];
  readonly channel: number;
  readonly sample: number;
  /** Names of the details that are unfolded. */
  readonly openDetails: readonly string[];
  /** Ids of the particles that are switched off to see what the model says without them. */
  readonly muted: readonly string[];
  /** Largest accepted drop, 0.01 is one point. */
  readonly maxDrop: number;
  /** The last focus that was followed (its turn). */
  readonly followed: number;
}

export interface PanelState extends ViewSettings {
  readonly theme: Theme;
  readonly snapshot: PanelSnapshot | undefined;
  /** Layers that have particles, in order. */
  readonly layers: readonly ParticleLayer[];
  readonly columns: ReadonlyMap<string, ColumnData>;
  readonly running: Running | undefined;
  readonly suggestions: SuggestResult | undefined;
  readonly selection: readonly number[];
  /** Ids of particles that the suggestion under the pointer or focus would remove. */
  readonly hatched: readonly string[];
  /** A sentence for the banner. */
  readonly message: { readonly level: 'error' | 'info'; readonly text: string } | undefined;
  /** Why there is nothing to show at all. */
  readonly failure: string | undefined;
}

export const initialState: Omit<PanelState, 'theme'> = {
  column: '',
  withinLayers: false,
  search: '',
  folded: [],
  detail: 'layer',
  layer: '',
  particle: -1,
  scatterX: '',
  scatterY: '',
  pairColumns: [],
  channel: -1,
  sample: 0,
  openDetails: [],
  muted: [],
  maxDrop: 0.01,
  followed: 0,
  snapshot: undefined,
  layers: [],
  columns: new Map(),
  running: undefined,
  suggestions: undefined,
  selection: [],
  hatched: [],
  message: undefined,
  failure: undefined,
};

/** The settings that are stored, out of a state. */
export function settingsOf(state: ViewSettings): ViewSettings {
  const { column, withinLayers, search, folded, detail, layer, particle, scatterX, scatterY, pairColumns, channel, sample, openDetails, muted, maxDrop, followed } = state;
  return { column, withinLayers, search, folded, detail, layer, particle, scatterX, scatterY, pairColumns, channel, sample, openDetails, muted, maxDrop, followed };
}

/** Stored settings, as far as they are what they should be: they may come from an older version. */
export function restoredSettings(stored: unknown): Partial<ViewSettings> {
  if (typeof stored !== 'object' || stored === null) return {};
  const known = settingsOf(initialState) as unknown as Record<string, unknown>;
  const entries = Object.entries(stored).filter(([key, value]) => key in known && typeof value === typeof known[key] && isList(value) === isList(known[key]));
  return Object.fromEntries(entries);
}

/** Lists are of texts only. */
function isList(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** A snapshot as a change of state; settings that no longer fit the model fall back. */
export function withSnapshot(state: PanelState, snapshot: PanelSnapshot): Partial<PanelState> {
  // What did not change keeps its identity, so that views that watch it rest.
  const layers = kept(state.layers, particleLayers(snapshot));
  const columns = new Map(snapshot.columns.map((column) => [column.name, inWords(column)]));
  const rows = layers.reduce((sum, layer) => sum + layer.count, 0);
  const names = new Set(snapshot.summary.layers.map((layer) => layer.name));
  return {
    snapshot,
    layers,
    columns,
    running: snapshot.running,
    suggestions: snapshot.suggestions,
    selection: kept(state.selection, snapshot.selection),
    column: columns.has(state.column) ? state.column : preferredColumn([...columns.values()]),
    layer: names.has(state.layer) ? state.layer : (layers[0]?.name ?? ''),
    particle: state.particle < rows ? state.particle : -1,
    ...withFocus(state, snapshot.focus),
    failure: undefined,
    message: snapshot.error ? { level: 'error', text: snapshot.error } : undefined,
  };
}

/** Turns to what another face asked for, once. */
export function withFocus(state: PanelState, focus: Focus | undefined): Partial<PanelState> {
  if (!focus || focus.turn === state.followed) return {};
  const { layer, row, turn } = focus;
  return row === undefined ? { layer, detail: 'layer', followed: turn } : { layer, particle: row, detail: 'particle', followed: turn };
}

/** The old one when both say the same. */
export function kept<T>(before: T, now: T): T {
  return JSON.stringify(before) === JSON.stringify(now) ? before : now;
}

/** New columns join, and replace those of the same name. */
export function withColumns(state: PanelState, arrived: readonly ColumnData[]): Partial<PanelState> {
  const columns = new Map(state.columns);
  for (const column of arrived) columns.set(column.name, inWords(column));
  return { columns, column: columns.has(state.column) ? state.column : preferredColumn([...columns.values()]) };
}

/** The column with its title in the user's language. */
function inWords(column: ColumnData): ColumnData {
  const title = strings.columnTitle(column.name, column.title);
  return title === column.title ? column : { ...column, title };
}

export class Store {
  private current: PanelState;
  private readonly listeners = new Set<{ keys: readonly (keyof PanelState)[]; call: (state: PanelState) => void }>();

  constructor(state: Partial<PanelState> & Pick<PanelState, 'theme'>) {
    this.current = { ...initialState, ...state };
  }

  get state(): PanelState {
    return this.current;
  }

  set(change: Partial<PanelState>): void {
    const before = this.current;
    this.current = { ...before, ...change };
    const now = this.current;
    for (const { keys, call } of [...this.listeners]) if (keys.some((key) => before[key] !== now[key])) call(now);
  }

  /** Calls now and whenever one of the keys changes; returns how to stop. */
  watch(keys: readonly (keyof PanelState)[], call: (state: PanelState) => void): () => void {
    const listener = { keys, call };
    this.listeners.add(listener);
    call(this.current);
    return () => this.listeners.delete(listener);
  }
}

function particleLayers(snapshot: PanelSnapshot): ParticleLayer[] {
  return snapshot.summary.layers
    .flatMap(({ name, particles }) => (particles && particles.count > 0 ? [{ name, ...particles }] : []))
    .sort((a, b) => a.firstRow - b.firstRow);
}

/** The L2 norm says most of what weights alone can say. */
function preferredColumn(columns: readonly ColumnData[]): string {
  const usable = columns.filter((column) => column.refersTo === undefined);
  return (usable.find((column) => column.name === 'l2') ?? usable[0])?.name ?? '';
}
