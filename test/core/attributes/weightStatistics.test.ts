import assert from 'node:assert';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { weightStatistics } from '../../../src/core/attributes/weightStatistics';
import { ints } from '../../../src/core/graph/attributes';
import { CancelledError, ParticlizeError } from '../../../src/core/graph/errors';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { asFloat32, fromFloat32 } from '../../../src/core/graph/numeric';
import type { WeightSlice } from '../../../src/core/graph/ops/operator';
import { bytesPerElement, elementCount, type DType, type StoredLayout, type Tensor } from '../../../src/core/graph/tensor';
import { ParticleTable } from '../../../src/core/particles/particleTable';
import { fileSource } from '../../../src/compute/files';
import { weightWorkers } from '../../../src/compute/weightWorkers';
import { graphOf, node, randomArray, seededRandom } from '../support/graphs';
import { fixtureFolder, memorySource, type CountingSource } from '../support/memoryFiles';

interface NumpyCase {
  readonly name: string;
  readonly dtype: Exclude<DType, 'string'>;
  readonly stored: readonly number[];
  readonly axes: readonly number[];
  readonly axis: number;
  readonly bytes: string;
  readonly expected: Readonly<Record<string, readonly number[]>>;
}

const cases = JSON.parse(fs.readFileSync(path.join(fixtureFolder, 'attributes/weightColumns.json'), 'utf8')) as NumpyCase[];
const columnNames = weightStatistics.columns.map(({ name }) => name);

/** A table of one layer whose particles are slices of the given tensors, read from what they are stored in and nowhere else. */
function layerOf(...weights: readonly { stored: StoredLayout; dtype: DType; slice: Omit<WeightSlice, 'tensor' | 'role'> }[]) {
  const tensors = new Map(weights.map(({ stored, dtype }, index): [string, Tensor] => {
    const shape = stored.axes.map((axis) => stored.shape[axis]!);
    return [`w${index}`, { name: `w${index}`, dtype, shape, stored, read: () => Promise.reject(new Error('weights are summed where they lie')) }];
  }));
  const slices = weights.map(({ slice }, index): WeightSlice => ({ ...slice, tensor: `w${index}`, role: 'weight' }));
  const { axis, block = 1, every } = slices[0]!;
  const count = (every ?? tensors.get('w0')!.shape[axis]!) / block;
  const table = new ParticleTable([{ layer: 'layer', kind: 'neuron', count, firstRow: 0, producer: { value: 'y', axis: 0 }, acts: [], slices }]);
  return { graph: { tensors } as unknown as ModelGraph, table };
}

function layoutOf(source: StoredLayout['source'], shape: readonly number[], dtype: Exclude<DType, 'string'>, axes = shape.map((_, axis) => axis), offset = 0): StoredLayout {
  return { source, offset, sizeBytes: elementCount(shape) * bytesPerElement[dtype], shape, axes };
}

/** The columns by their definitions, one element after the other, deviations from the mean that was found before. */
function plainColumns(values: Float32Array, count: number, particleOf: (element: number) => number): Record<string, number[]> {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  let limit = 0;
  if (largest > 0) for (limit = 2 ** 130; limit > largest; limit /= 2);
  limit /= 1024;
  const [elements, l1, squares, sums, weightMax, near, deviations] = Array.from({ length: 7 }, () => new Array<number>(count).fill(0)) as
    [number[], number[], number[], number[], number[], number[], number[]];
  values.forEach((value, element) => {
    const particle = particleOf(element);
    elements[particle]!++;
    l1[particle]! += Math.abs(value);
    squares[particle]! += value * value;
    sums[particle]! += value;
    weightMax[particle] = Math.max(weightMax[particle]!, Math.abs(value));
    if (Math.abs(value) <= limit) near[particle]!++;
  });
  const weightMean = sums.map((sum, particle) => sum / elements[particle]!);
  values.forEach((value, element) => (deviations[particleOf(element)]! += (value - weightMean[particleOf(element)]!) ** 2));
  return {
    l1, l2: squares.map(Math.sqrt), weightMean, weightMax, nearZero: near.map((small, particle) => small / elements[particle]!),
    weightDeviation: deviations.map((square, particle) => Math.sqrt(square / elements[particle]!)),
  };
}

function assertColumns(actual: readonly Float32Array[], expected: Readonly<Record<string, readonly number[]>>, tolerance = 1e-6): void {
  for (const [index, name] of columnNames.entries()) {
    const largest = Math.max(...expected[name]!.map(Math.abs));
    expected[name]!.forEach((want, particle) => {
      const got = actual[index]![particle]!;
      // A mean is small beside what was summed; its error is held against the column.
      const scale = name === 'weightMean' ? largest : Math.abs(want);
      assert.ok(Math.abs(got - want) <= tolerance * scale, `${name} of particle ${particle} is ${got}, not ${want}`);
    });
  }
}

/** Normal enough, in any type; `grow` makes the last element a thousand times larger. */
function elements(count: number, seed: number, grow = false): Float32Array {
  const random = seededRandom(seed);
  const values = new Float32Array(count);
  for (let k = 0; k < count; k++) {
    const value = random() - 0.5;
    values[k] = value * value * value;
  }
  if (grow) values[count - 1] = 100;
  return values;
}

describe('weight statistics: sums over weights as they lie in the file', function () {
  this.timeout(20_000);

  for (const { name, dtype, stored, axes, axis, bytes, expected } of cases) {
    it(`NumPy's columns: ${name}`, async () => {
      const source = memorySource('w.bin', new Uint8Array(Buffer.from(bytes, 'base64')));
      const { graph, table } = layerOf({ dtype, stored: layoutOf(source, stored, dtype, [...axes]), slice: { axis } });
      assertColumns(await weightStatistics.compute(graph, table), expected);
    });
  }

  it('every length of run and row, with rests that do not fill a vector', async () => {
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      for (let length = 1; length <= 70; length += length < 20 ? 1 : 7) {
        const values = fromFloat32(elements(length * 21, length), [length * 21], dtype);
        const bytes = new Uint8Array(values.data.buffer, values.data.byteOffset, values.data.byteLength);
        for (const [shape, axis] of [[[21, length], 0], [[length, 21], 1], [[3, 7, length], 1], [[7, length, 3], 1]] as const) {
          const { graph, table } = layerOf({ dtype, stored: layoutOf(memorySource('w.bin', bytes), shape, dtype), slice: { axis } });
          const inner = elementCount(shape.slice(axis + 1));
          const expected = plainColumns(asFloat32(values), shape[axis]!, (element) => Math.floor(element / inner) % shape[axis]!);
          assertColumns(await weightStatistics.compute(graph, table), expected);
        }
      }
    }
  });

  it('weights of several chunks and pieces, also when the largest comes last', async () => {
    for (const grow of [false, true]) {
      for (const [shape, axis] of [[[700, 7001], 0], [[7001, 700], 1], [[3, 2, 800_000], 1], [[2, 300_000, 8], 1], [[1, 4_900_000], 0]] as const) {
        const values = elements(elementCount(shape), 5, grow);
        const source = memorySource('w.bin', new Uint8Array(values.buffer));
        const { graph, table } = layerOf({ dtype: 'float32', stored: layoutOf(source, shape, 'float32'), slice: { axis } });
        const inner = elementCount(shape.slice(axis + 1));
        if (shape[axis]! > 10_000) {
          const [l1] = await weightStatistics.compute(graph, table);
          const total = values.reduce((sum, value) => sum + Math.abs(value), 0);
          assert.ok(Math.abs(l1!.reduce((sum, value) => sum + value, 0) - total) < 1e-5 * total);
        } else {
          const expected = plainColumns(values, shape[axis]!, (element) => Math.floor(element / inner) % shape[axis]!);
          assertColumns(await weightStatistics.compute(graph, table), expected);
        }
        assert.ok(source.bytesRead <= (grow ? 2 : 1) * values.byteLength, `${source.bytesRead} bytes read of ${values.byteLength}`);
      }
    }
  });

  it('gates, blocks and several weights of a particle add up; the threshold is the whole layer\'s', async () => {
    const [gates, heads] = [elements(12 * 5, 1), elements(6 * 40, 2, true)];
    const source = memorySource('w.bin', new Uint8Array(Buffer.concat([new Uint8Array(gates.buffer), new Uint8Array(heads.buffer)])));
    const { graph, table } = layerOf(
      { dtype: 'float32', stored: layoutOf(source, [12, 5], 'float32'), slice: { axis: 0, every: 3 } },
      { dtype: 'float32', stored: layoutOf(source, [40, 6], 'float32', [0, 1], gates.byteLength), slice: { axis: 1, block: 2 } },
    );
    const all = Float32Array.of(...gates, ...heads);
    const expected = plainColumns(all, 3, (element) => (element < 60 ? Math.floor(element / 5) % 3 : Math.floor(((element - 60) % 6) / 2)));
    assertColumns(await weightStatistics.compute(graph, table), expected);
  });

  it('zeros are near zero, NaN shows in the sums, infinity is the largest', async () => {
    const odd = Float32Array.of(0, 0, 0, 0, NaN, 1, 2, 3, -Infinity, 1, 2, 3, 1e-40, 1e-45, 0, -1e-40);
    const columns = async (values: Float32Array) => {
      const { graph, table } = layerOf({ dtype: 'float32', stored: layoutOf(memorySource('w.bin', new Uint8Array(values.slice().buffer)), [values.length / 4, 4], 'float32'), slice: { axis: 0 } });
      return Object.fromEntries((await weightStatistics.compute(graph, table)).map((column, index) => [columnNames[index]!, [...column]]));
    };
    const all = await columns(odd);
    assert.deepStrictEqual(all.weightMax!.slice(0, 3), [0, 3, Infinity]);
    assert.deepStrictEqual(all.nearZero, [1, 0.75, 0.75, 1]);
    assert.deepStrictEqual([all.l1![0], all.l1![1], all.l1![2]], [0, NaN, Infinity]);
    assert.deepStrictEqual((await columns(odd.subarray(0, 4))).nearZero, [1]);
    // The smallest number there is, beside one seventy thousand times larger and 0.
    assert.deepStrictEqual((await columns(odd.subarray(12))).nearZero, [0.5]);
  });

  it('weights that are not one range of a file are read as the tensor gives them', async () => {
    const w = randomArray([4, 2, 3, 3], seededRandom(3));
    const graph = await graphOf({
      inputs: { x: [null, 2, 8, 8] }, outputs: ['y'], weights: { w }, nodes: [node('Conv', ['x', 'w'], 'y', { pads: ints([1, 1, 1, 1]) }, 'conv')],
    });
    const table = new ParticleTable([{ layer: 'conv', kind: 'kernel', count: 4, firstRow: 0, producer: { value: 'y', axis: 1 }, acts: [], slices: [{ tensor: 'w', axis: 0, role: 'weight' }] }]);
    assertColumns(await weightStatistics.compute(graph, table), plainColumns(w.data as Float32Array, 4, (element) => Math.floor(element / 18)));
  });

  describe('on all threads', () => {
    let folder: string;
    before(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-sums-'))));
    after(() => fs.rmSync(folder, { recursive: true, force: true }));

    /** 96 MB: enough for threads to be worth it. */
    async function large() {
      const shape = [2, 3000, 4000];
      const values = new Float32Array(elementCount(shape));
      const block = elements(1_000_000, 11);
      for (let at = 0; at < values.length; at += block.length) values.set(block, at);
      values[values.length - 1] = 100;
      const file = path.join(folder, 'large.bin');
      fs.writeFileSync(file, new Uint8Array(values.buffer));
      const layer = (source: StoredLayout['source']) => layerOf({ dtype: 'float32', stored: layoutOf(source, shape, 'float32'), slice: { axis: 2 } });
      return { file, layer, inMemory: layer(memorySource('large.bin', new Uint8Array(values.buffer)) satisfies CountingSource) };
    }

    it('the same columns as on one, and a thread\'s error is the user\'s sentence', async () => {
      const { file, layer, inMemory } = await large();
      const { graph, table } = layer(await fileSource(file));
      const summer = weightWorkers(2);
      let progressed = 0;
      const [threads, one] = [
        await weightStatistics.compute(graph, table, { progress: () => progressed++ }, { summer }), await weightStatistics.compute(inMemory.graph, inMemory.table),
      ];
      assertColumns(threads, Object.fromEntries(columnNames.map((name, index) => [name, [...one[index]!]])));
      assert.ok(progressed >= 6, `${progressed} steps of progress`);

      fs.utimesSync(file, new Date(), new Date(Date.now() + 5000));
      await assert.rejects(weightStatistics.compute(graph, table, undefined, { summer }), (error) => {
        assert.ok(error instanceof ParticlizeError);
        assert.strictEqual(error.message, 'large.bin: the file changed while it was being read. Open it again.');
        return true;
      });
    });

    it('stops when it is cancelled', async () => {
      const { file, layer } = await large();
      const { graph, table } = layer(await fileSource(file));
      const controller = new AbortController();
      const task = { signal: controller.signal, progress: () => controller.abort() };
      await assert.rejects(weightStatistics.compute(graph, table, task, { summer: weightWorkers(2) }), CancelledError);
    });
  });
});
