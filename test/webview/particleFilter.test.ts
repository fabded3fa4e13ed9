import assert from 'node:assert';
import type { ColumnData } from '../../src/compute/protocol';
import { parseFilter } from '../../webview/panel/particleFilter';

const layers = [
  { name: 'conv1', kind: 'kernel', count: 2, firstRow: 0 },
  { name: 'blocks/conv2', kind: 'kernel', count: 2, firstRow: 2 },
  { name: 'dense1', kind: 'neuron', count: 2, firstRow: 4 },
] as const;

function column(name: string, title: string, values: number[]): ColumnData {
  return { name, title, unit: '', meaning: '', scale: 'sequential', provenance: { source: 'weights', exact: true }, values: Float32Array.from(values) };
}

const l2 = column('l2', 'L2 norm', [1, 0.05, 2, 1e-7, NaN, 0.5]);
const weightsOnly = new Map([['l2', l2]]);

function found(search: string, columns = weightsOnly): number[] | string {
  const { matches, problem } = parseFilter(search, { layers, columns });
  if (problem) return problem;
  return matches ? [0, 1, 2, 3, 4, 5].filter(matches) : 'all';
}

describe('particle filter', () => {
  const cases: [string, number[] | string][] = [
    ['', 'all'],
    ['   ', 'all'],
    ['conv1', [0, 1]],
    ['conv*', [0, 1]],
    ['*conv*', [0, 1, 2, 3]],
    ['CONV?', [0, 1]],
    ['blocks/conv2', [2, 3]],
    ['den', [4, 5]],
    ['kernel', [0, 1, 2, 3]],
    ['neurons', [4, 5]],
    ['conv1/kernel:1', [1]],
    ['*:0', [0, 2, 4]],
    ['l2<0.1', [1, 3]],
    ['l2 < 0.1', [1, 3]],
    ['L2norm>=1', [0, 2]],
    ['l2!=1', [1, 2, 3, 5]],
    ['l2=0.05', [1]],
    ['l2<50%', [1, 3]],
    ['*conv* l2>0.5', [0, 2]],
    ['-conv1 l2>0', [2, 3, 5]],
    ['!kernel', [4, 5]],
    ['zzz*', []],
    ['dead', [3]],
  ];
  for (const [search, rows] of cases) {
    it(`“${search}” finds ${JSON.stringify(rows)}`, () => assert.deepStrictEqual(found(search), rows));
  }

  it('dead goes by what was measured, where it was', () => {
    const measured = new Map([...weightsOnly, ['deadShare', column('deadShare', 'Share of dead outputs', [0, 1, 0.5, NaN, 1, 0.2])]]);
    assert.deepStrictEqual(found('dead', measured), [1, 3, 4]);
  });

  it('dead without any column asks for behaviour', () => assert.match(String(found('dead', new Map())), /Analyse behaviour/));

  it('explains what it cannot read', () => {
    assert.match(String(found('norm<1')), /no column “norm”. Try l2/);
    assert.match(String(found('hello')), /“hello” is no particle/);
    assert.match(String(found('l2<x')), /“x”/);
  });

  it('a hostile pattern costs no time', () => {
    const long = [{ name: 'a'.repeat(50_000), kind: 'kernel', count: 1, firstRow: 0 }] as const;
    const { matches } = parseFilter(`${'*a'.repeat(40)}*b`, { layers: long, columns: weightsOnly });
    assert.strictEqual(matches!(0), false);
  });
});
