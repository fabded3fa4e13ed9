import assert from 'node:assert';
import { axisFormat, thinOut } from '../../../src/core/charts/chart';
import { charts } from '../../../src/core/charts/registry';
import type { ParticleLayer } from '../../../src/core/charts/particleLayers';
import { layerIndexAt, particleName, rowCountOf, rowsOfParticles } from '../../../src/core/charts/particleLayers';

const layers: ParticleLayer[] = [
  { name: 'conv1', kind: 'kernel', count: 4, firstRow: 0 },
  { name: 'dense1', kind: 'neuron', count: 6, firstRow: 4 },
];
const l2 = { name: 'l2', title: 'L2 norm', unit: '', values: Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7, NaN, 9) };
const loss = { name: 'loss', title: 'Loss without it', unit: 'nats', values: Float32Array.of(9, 8, 7, 6, 5, 4, NaN, 2, 1, 0) };

type Values = { data: { values: Record<string, unknown>[] }; $schema: string };
const valuesOf = (spec: unknown) => (spec as Values).data.values;

describe('charts', () => {
  it('distribution counts every finite value once, and says what has none', () => {
    const { spec, leftOut, description } = charts.distribution.draw({ column: l2, layers });
    const bars = valuesOf(spec) as { from: number; to: number; count: number; layer: string }[];
    assert.strictEqual(bars.reduce((sum, bar) => sum + bar.count, 0), 9);
    assert.strictEqual(leftOut, '1 particle has no value.');
    assert.match(description, /over 9 particles, from 0 to 9/);
    for (const value of [0, 1, 2, 3]) {
      const bar = bars.find((candidate) => candidate.layer === 'conv1' && value >= candidate.from - 1e-6 && value <= candidate.to + 1e-6);
      assert.ok(bar, `no bar holds ${value}`);
    }
    assert.ok(Math.abs(Math.min(...bars.map((bar) => bar.from))) < 1e-6 && Math.abs(Math.max(...bars.map((bar) => bar.to)) - 9) < 1e-6);
  });

  it('distribution of one value is one bar with a width; of none, a sentence', () => {
    const same = charts.distribution.draw({ column: { ...l2, values: new Float32Array(10).fill(2) }, layers: layers.slice(0, 1) });
    const bars = valuesOf(same.spec) as { from: number; to: number; count: number }[];
    assert.deepStrictEqual(bars.map(({ from, to, count }) => [from < 2, to > 2, count]), [[true, true, 4]]);
    assert.match(charts.distribution.draw({ column: { ...l2, values: new Float32Array(10).fill(NaN) }, layers }).empty ?? '', /No particle here has a value of L2 norm/);
  });

  it('scatter draws particles that have both values, with their rows', () => {
    const { spec, leftOut } = charts.scatter.draw({ x: l2, y: loss, layers, selected: new Set([3]) });
    const points = valuesOf(spec) as { row: number; particle: string; x: number; y: number; selected: boolean }[];
    assert.deepStrictEqual(points.map(({ row }) => row), [0, 1, 2, 3, 4, 5, 7, 9]);
    assert.deepStrictEqual(points[6], { row: 7, particle: 'dense1/neuron:3', layer: 'dense1', x: 7, y: 2, selected: false });
    assert.deepStrictEqual(points.filter(({ selected }) => selected).map(({ row }) => row), [3]);
    assert.strictEqual(leftOut, '2 particles lack a value.');
    assert.match(JSON.stringify(spec), /Loss without it \(nats\)/);
  });

  it('scatter leaves out evenly beyond its limit, and says so', () => {
    const many = Float32Array.from({ length: 10_000 }, (_, i) => i);
    const { spec, leftOut } = charts.scatter.draw({ x: { ...l2, values: many }, y: { ...loss, values: many }, layers: [{ name: 'a', kind: 'neuron', count: 10_000, firstRow: 0 }], limit: 100 });
    const points = valuesOf(spec) as { x: number }[];
    assert.strictEqual(points.length, 100);
    assert.deepStrictEqual(points.slice(0, 3).map(({ x }) => x), [0, 100, 200]);
    assert.match(leftOut ?? '', /100 of 10\u202f000 particles shown/);
    assert.deepStrictEqual(thinOut([1, 2, 3], 5), { rows: [1, 2, 3] });
  });

  it('cost by layer gives shares of the whole', () => {
    const { spec } = charts.costByLayer.draw({
      layers: [
        { name: 'conv1', parameters: 30, macs: 900, particles: layers[0]! },
        { name: 'relu', parameters: 0, macs: 0 },
        { name: 'dense1', parameters: 70, macs: 100, particles: layers[1]! },
      ],
      importance: l2,
    });
    const bars = valuesOf(spec) as { layer: string; measure: string; share: number }[];
    const share = (layer: string, measure: string) => bars.find((bar) => bar.layer === layer && bar.measure === measure)?.share;
    assert.deepStrictEqual([share('conv1', 'Parameters'), share('dense1', 'Parameters'), share('conv1', 'MACs')], [0.3, 0.7, 0.9]);
    // 0+1+2+3 of 4+5+6+7+9 more
    assert.ok(Math.abs(share('conv1', 'L2 norm')! - 6 / 37) < 1e-6);
    assert.strictEqual(bars.length, 6);
    assert.match(charts.costByLayer.draw({ layers: [] }).empty ?? '', /No layer/);
  });

  it('cost by layer shows the most expensive layers of a deep model, in order', () => {
    const deep = Array.from({ length: 100 }, (_, i) => ({ name: `l${i}`, parameters: i + 1, macs: 0 }));
    const { spec, leftOut } = charts.costByLayer.draw({ layers: deep, limit: 3 });
    assert.deepStrictEqual([...new Set(valuesOf(spec).map(({ layer }) => layer))], ['l97', 'l98', 'l99']);
    assert.match(leftOut ?? '', /3 most expensive of 100/);
  });

  it('column by layer gives quartiles as numpy does', () => {
    const { spec } = charts.columnByLayer.draw({ column: l2, layers });
    const [conv, dense] = valuesOf(spec) as Record<string, number>[];
    // np.quantile([0, 1, 2, 3], …) and np.quantile([4, 5, 6, 7, 9], …)
    assert.deepStrictEqual([conv!.low, conv!.lower, conv!.median, conv!.upper, conv!.high], [0, 0.75, 1.5, 2.25, 3]);
    assert.deepStrictEqual([dense!.low, dense!.lower, dense!.median, dense!.upper, dense!.high], [4, 5, 6, 7, 9]);
  });

  it('names the Vega-Lite version that is asked for', () => {
    const five = charts.distribution.draw({ column: l2, layers }, { schema: 5, width: 300 }).spec as unknown as Values & { width: number };
    assert.strictEqual(five.$schema, 'https://vega.github.io/schema/vega-lite/v5.json');
    assert.strictEqual(five.width, 300);
    assert.strictEqual((charts.scatter.draw({ x: l2, y: loss, layers }).spec as unknown as Values).$schema, 'https://vega.github.io/schema/vega-lite/v6.json');
  });

  it('each chart is registered under its own name', () => {
    assert.deepStrictEqual(Object.entries(charts).filter(([key, chart]) => key !== chart.name), []);
  });

  it('axes of large numbers use prefixes', () => assert.deepStrictEqual([axisFormat([1, 2]), axisFormat([1, 25_000])], ['.3~g', '.3~s']));

  it('particles and rows', () => {
    assert.deepStrictEqual([-1, 0, 3, 4, 9, 10].map((row) => layerIndexAt(layers, row)), [-1, 0, 0, 1, 1, -1]);
    assert.strictEqual(particleName(layers, 5), 'dense1/neuron:1');
    assert.strictEqual(particleName(layers, 99), '');
    assert.deepStrictEqual(rowsOfParticles(layers, ['dense1/neuron:1', 'conv1/kernel:4', 'nothing', 'conv1/neuron:0', 'conv1/kernel:0']), [5, 0]);
    assert.strictEqual(rowCountOf(layers), 10);
  });
});
