import assert from 'node:assert';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileSetOf } from '../../../src/compute/files';
import { formatOf, openModel } from '../../../src/core/formats/registry';
import { ParticlizeError } from '../../../src/core/graph/errors';
import { asFloat32 } from '../../../src/core/graph/numeric';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';
import { decompose } from '../../../src/core/particles/decompose';

/**
 * Every file that a test/fixtures/formats/manifest*.json lists opens as it says there, or fails with the error text that
 * it gives. The expectations come from the formats' own libraries, by the scripts in test/fixtures/make. Files of
 * manifest.shared.json lie beside the repository and are skipped when they are not there.
 */
interface Entry {
  readonly file: string;
  readonly format: string;
  readonly layers?: readonly { readonly name: string; readonly type: string; readonly particles?: { readonly kind: string; readonly count: number } }[];
  /** Layers that are there among others (a graph also has layers for operators between the modules). */
  readonly someLayers?: Entry['layers'];
  readonly tensors?: Readonly<Record<string, TensorFacts>>;
  /** Texts that occur in findings. */
  readonly findings?: readonly string[];
  /** The whole text of the error that opening ends with. */
  readonly error?: string;
}

interface TensorFacts {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** float64 sum of the elements as float32 ('nan', 'inf'), and SHA-256 of their bytes with one form of NaN. */
  readonly sum?: number | string;
  readonly sha256?: string;
  /** The text of the error that reading ends with. */
  readonly error?: string;
}

const fixtures = path.resolve(__dirname, '../../fixtures/formats');
const shared = path.resolve(__dirname, '../../../../shared/models');

for (const name of readdirSync(fixtures).filter((file) => /^manifest.*\.json$/.test(file)).sort()) {
  describe(`model files of ${name}`, () => {
    const entries = JSON.parse(readFileSync(path.join(fixtures, name), 'utf8')) as readonly Entry[];
    const root = name === 'manifest.shared.json' ? shared : fixtures;
    it('lists files', () => assert.ok(entries.length > 0));
    for (const entry of entries) {
      it(`${entry.file}${entry.error ? ' is refused' : ''}`, async function () {
        const file = path.join(root, entry.file);
        if (root === shared && !existsSync(file)) this.skip();
        await check(entry, file);
      });
    }
  });
}

async function check(entry: Entry, file: string): Promise<void> {
  const files = await fileSetOf(file);
  assert.equal((await formatOf(files)).id, entry.format);
  if (entry.error !== undefined) {
    await assert.rejects(openModel(files), (error) => error instanceof ParticlizeError && assert.equal(error.message, entry.error) === undefined);
    return;
  }
  const graph = await openModel(files);
  if (entry.layers) checkLayers(graph, entry.layers, graph.layers);
  if (entry.someLayers) {
    const names = new Set(entry.someLayers.map((layer) => layer.name));
    checkLayers(graph, entry.someLayers, graph.layers.filter((layer) => names.has(layer.name)));
  }
  if (entry.tensors) {
    const expected = Object.fromEntries(Object.entries(entry.tensors).map(([name, { dtype, shape }]) => [name, `${dtype} [${shape.join(', ')}]`]));
    assert.deepEqual(Object.fromEntries([...graph.tensors].map(([name, { dtype, shape }]) => [name, `${dtype} [${shape.join(', ')}]`])), expected);
    for (const [name, facts] of Object.entries(entry.tensors)) await checkTensor(graph, name, facts);
  }
  for (const text of entry.findings ?? []) {
    assert.ok(graph.findings.some(({ message }) => message.includes(text)), `no finding says '${text}': ${graph.findings.map(({ message }) => message).join('; ')}`);
  }
}

function checkLayers(graph: ModelGraph, expected: NonNullable<Entry['layers']>, found: ModelGraph['layers']): void {
  assert.deepEqual(
    found.map(({ name, type }) => `${name}: ${type}`).sort(),
    expected.map(({ name, type }) => `${name}: ${type}`).sort(),
  );
  const table = decompose(graph);
  for (const { name, particles } of expected) {
    const group = table.group(name);
    assert.deepEqual(group && { kind: group.kind, count: group.count }, particles, `particles of ${name}`);
  }
}

async function checkTensor(graph: ModelGraph, name: string, facts: TensorFacts): Promise<void> {
  const tensor = graph.tensors.get(name)!;
  if (facts.error !== undefined) {
    await assert.rejects(tensor.read(), { name: 'ParticlizeError', message: facts.error });
    return;
  }
  const array = await tensor.read();
  assert.deepEqual(array.shape, facts.shape, `shape of ${name} when read`);
  const values = floats(array);
  const sum = values.reduce((total, value) => total + value, 0);
  if (typeof facts.sum === 'number') assert.ok(Math.abs(sum - facts.sum) <= 1e-6 * (1 + Math.abs(facts.sum)), `sum of ${name}: ${sum}, not ${facts.sum}`);
  if (facts.sha256 !== undefined) assert.equal(checksum(values), facts.sha256, `elements of ${name}: ${values.slice(0, 8).join(', ')}`);
}

/** Elements as float32; complex numbers as pairs. */
function floats(array: NdArray): Float32Array {
  return array.dtype.startsWith('complex') ? Float32Array.from(array.data as Float64Array) : asFloat32(array);
}

function checksum(values: Float32Array): string {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  values.forEach((value, index) => {
    if (Number.isNaN(value)) bits[index] = 0x7fc00000;
  });
  return createHash('sha256').update(new Uint8Array(bits.buffer)).digest('hex');
}
