import { layerIndexAt, particleName, type ParticleLayer } from '../../src/core/charts/particleLayers';
import type { ColumnData } from '../../src/compute/protocol';
import { strings } from '../shared/strings';

/** What a search finds in: particles by name, and their columns. */
export interface Searchable {
  readonly layers: readonly ParticleLayer[];
  readonly columns: ReadonlyMap<string, ColumnData>;
  /** Hears which columns the search looks at: those of large models are fetched then. */
  readonly needs?: (column: string) => void;
}

export interface ParticleFilter {
  /** Undefined when the search is empty: nothing is filtered. */
  readonly matches?: (row: number) => boolean;
  /** What is wrong with the search, in one sentence; then nothing is filtered. */
  readonly problem?: string;
}

/**
 * Reads a search. Words are separated by spaces and must all hold:
 * `conv*` and `conv1/kernel:3` match layers or particles, `kernel` a kind, `dead` particles that do nothing,
 * `l2<0.1` compares a column (`<`, `<=`, `>`, `>=`, `=`, `!=`); `-` in front excludes.
 */
export function parseFilter(search: string, { layers, columns, needs = () => undefined }: Searchable): ParticleFilter {
  const tests: ((row: number) => boolean)[] = [];
  // Spaces around an operator belong to it: `l2 < 0.1`.
  const words = search.replace(/\s*(<=|>=|!=|[<>=])\s*/g, '$1').split(/\s+/).filter((word) => word.length > 0);
  for (const word of words) {
    const negated = word.length > 1 && (word.startsWith('-') || word.startsWith('!'));
    const found = testOf(negated ? word.slice(1) : word, layers, columns, needs);
    if (typeof found === 'string') return { problem: found };
    tests.push(negated ? (row) => !found(row) : found);
  }
  return tests.length === 0 ? {} : { matches: (row) => tests.every((test) => test(row)) };
}

type Test = (row: number) => boolean;

function testOf(word: string, layers: readonly ParticleLayer[], columns: ReadonlyMap<string, ColumnData>, needs: (column: string) => void): Test | string {
  const comparison = /^([^<>=!]+)(<=|>=|!=|<|>|=)(.+)$/.exec(word);
  if (comparison) return comparisonTest(comparison[1]!, comparison[2]!, comparison[3]!, columns, needs);
  if (word.toLowerCase() === 'dead') return deadTest(layers, columns, needs);
  const pattern = globPattern(word);
  const matching = layers.map((layer) => pattern.test(layer.name) || pattern.test(layer.kind) || pattern.test(`${layer.kind}s`));
  const particle = word.includes('/') || word.includes(':');
  // A layer's name may hold a slash itself.
  if (matching.includes(true)) return (row) => matching[layerIndexAt(layers, row)] ?? false;
  if (particle) return (row) => pattern.test(particleName(layers, row));
  // While typing, the beginning of a name is enough.
  const start = layers.map((layer) => layer.name.toLowerCase().startsWith(word.toLowerCase()));
  if (start.includes(true)) return (row) => start[layerIndexAt(layers, row)] ?? false;
  return word.includes('*') || word.includes('?') ? () => false : strings.unknownWord(word);
}

function comparisonTest(name: string, operator: string, limit: string, columns: ReadonlyMap<string, ColumnData>, needs: (column: string) => void): Test | string {
  const column = findColumn(name, columns);
  if (!column) return strings.unknownColumn(name, [...columns.keys()].slice(0, 4).join(', '));
  needs(column.name);
  const percent = limit.endsWith('%');
  const number = Number(percent ? limit.slice(0, -1) : limit.replace('−', '-')) / (percent ? 100 : 1);
  if (Number.isNaN(number)) return strings.unknownWord(limit);
  const { values } = column;
  const close = (row: number) => Math.abs(values[row]! - number) <= 1e-6 * Math.max(1, Math.abs(number));
  switch (operator) {
    case '<':
      return (row) => values[row]! < number;
    case '<=':
      return (row) => values[row]! <= number;
    case '>':
      return (row) => values[row]! > number;
    case '>=':
      return (row) => values[row]! >= number;
    case '=':
      return close;
    default:
      return (row) => !Number.isNaN(values[row]!) && !close(row);
  }
}

/**
 * Dead: never active on the data, where that was measured; else weights that are next to nothing beside the largest
 * of their layer.
 */
function deadTest(layers: readonly ParticleLayer[], columns: ReadonlyMap<string, ColumnData>, needs: (column: string) => void): Test | string {
  const measured = [...columns.values()].find((column) => /dead/i.test(column.name));
  const norm = columns.get('l2') ?? columns.get('l1');
  if (!measured && !norm) return strings.behaviourColumn('dead');
  for (const column of [measured, norm]) if (column) needs(column.name);
  const largest = layers.map((layer) => {
    let most = 0;
    for (let i = 0; norm && i < layer.count; i++) most = Math.max(most, Math.abs(norm.values[layer.firstRow + i]!) || 0);
    return most;
  });
  return (row) => {
    const share = measured?.values[row];
    if (share !== undefined && !Number.isNaN(share)) return share >= 0.999;
    return norm !== undefined && Math.abs(norm.values[row]!) <= 1e-4 * (largest[layerIndexAt(layers, row)] ?? 0);
  };
}

/** By name, else by title, without regard to case and spaces. */
function findColumn(name: string, columns: ReadonlyMap<string, ColumnData>): ColumnData | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[\s_-]/g, '');
  const exact = columns.get(name);
  return exact ?? [...columns.values()].find((column) => plain(column.name) === plain(name) || plain(column.title) === plain(name));
}

/** `*` and `?` as in file names, without regard to case; time grows with the product of the lengths at most. */
function globPattern(glob: string): { test(text: string): boolean } {
  const pattern = glob.toLowerCase();
  return { test: (text) => globMatches(pattern, text.toLowerCase()) };
}

function globMatches(pattern: string, text: string): boolean {
  let p = 0;
  let star = -1;
  let resume = 0;
  for (let t = 0; t < text.length; ) {
    if (p < pattern.length && pattern[p] === '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      // The last star takes one more letter.
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}
