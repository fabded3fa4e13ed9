import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileSetOf } from '../../../src/compute/files';
import { addAttributes } from '../../../src/core/attributes/registry';
import { evaluate } from '../../../src/core/evaluate/evaluate';
import { formatById, formats, openModel } from '../../../src/core/formats/registry';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { hasWeightsOnly } from '../../../src/core/graph/ops/weightsOnly';
import { applyPlan } from '../../../src/core/optimise/surgery';
import { decompose } from '../../../src/core/particles/decompose';
import type { ParticleTable } from '../../../src/core/particles/particleTable';
import { createEngine } from '../../../src/engines/registry';
import { relativeError } from '../support/graphs';
import { contentsOf } from '../support/memoryFiles';
import { digits, openSample, root } from '../support/openSample';

const made = path.join(root, 'test/fixtures/digits');
const recipe = path.join(digits, 'digits.particlize.json');
const expected = JSON.parse(fs.readFileSync(path.join(digits, 'expected.json'), 'utf8')) as { particles: Record<string, { l2: number[] }> };

/** One network in every format: the format's id and the file, which makeDigitsFormats.py or the sample's scripts made. */
const files: Readonly<Record<string, string>> = {
  onnx: path.join(digits, 'model.onnx'), 'tfjs-layers': path.join(digits, 'tfjs/model.json'), keras: path.join(digits, 'model.keras'),
  pytorch: path.join(digits, 'model.pt'), 'pytorch, legacy': path.join(made, 'legacy.pth'), torchscript: path.join(made, 'script.ptl'),
  pt2: path.join(made, 'model.pt2'), safetensors: path.join(made, 'model.safetensors'), gguf: path.join(made, 'model.gguf'),
  npz: path.join(made, 'model.npz'), 'keras-h5': path.join(made, 'model.h5'), 'keras-h5, weights only': path.join(made, 'model.weights.h5'),
  savedmodel: path.join(made, 'saved/saved_model.pb'), 'frozen graph': path.join(made, 'frozen.pb'), 'tfjs-graph': path.join(made, 'graph.json'),
  tflite: path.join(made, 'model.tflite'),
};

/** Those that hold weights and no graph, so that there is nothing to run. */
const weightsOnly = new Set(['pytorch', 'pytorch, legacy', 'torchscript', 'safetensors', 'gguf', 'npz', 'keras-h5, weights only']);

/** Taken out before saving: some of each layer that may lose some. */
const plan = {
  version: 1 as const, model: { file: '', sha256: '' },
  steps: [{ action: 'remove' as const, particles: ['conv1/kernel:0', 'conv1/kernel:7', 'conv2/kernel:3', 'dense1/neuron:5', 'dense1/neuron:60'] }],
};

describe('one network in every format', function () {
  this.timeout(60_000);
  let engine: Engine;
  let columns: Map<string, Float32Array>;
  before(async () => {
    engine = await createEngine('auto', { threads: 1 });
    columns = columnsOf((await opened(files['onnx']!)).table);
  });

  it('leaves no format out', () => {
    const covered = new Set(Object.values(files).map((file) => path.extname(file)));
    for (const { id, extensions } of formats) assert.ok(extensions.some((ending) => covered.has(path.extname(`x${ending}`))), `${id} is not among the files`);
  });

  for (const [name, file] of Object.entries(files)) {
    it(`${name}: the same particles with equal weight columns`, async () => {
      const { table } = await opened(file);
      assert.deepEqual(table.groups.map(({ layer, kind, count }) => `${layer} ${count} ${kind}`), ['conv1 16 kernel', 'conv2 32 kernel', 'dense1 64 neuron', 'dense2 10 neuron']);
      assert.ok(relativeError(columnsOf(table).get('l2')!, Object.values(expected.particles).flatMap(({ l2 }) => l2)) <= 1e-5, 'PyTorch found other norms');
      for (const [column, values] of columns) {
        if (column === 'macs' || column === 'twin') continue;
        const own = columnsOf(table).get(column)!;
        assert.ok(relativeError(own.filter((value) => !Number.isNaN(value)), values.filter((value) => !Number.isNaN(value))) <= 1e-5, column);
      }
    });

    if (weightsOnly.has(name)) {
      it(`${name}: is known to have no graph`, async () => assert.ok(hasWeightsOnly((await opened(file)).graph)));
      continue;
    }

    it(`${name}: the same accuracy, whole and made smaller and read again`, async () => {
      const { graph, table } = await opened(file);
      const whole = await scoreOf(engine, graph, file);
      assert.ok(Math.abs(whole.metrics['accuracy']! - 0.9861111) < 1e-6, `accuracy ${whole.metrics['accuracy']}`);
      const { save } = formatById(graph.format)!;
      if (!save) return;
      const { graph: smaller, refusals } = await applyPlan(graph, table, plan);
      assert.deepEqual(refusals, []);
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-'));
      try {
        for (const part of await save(graph, smaller, path.basename(file))) fs.writeFileSync(path.join(folder, part.name), await contentsOf(part));
        const again = await opened(path.join(folder, path.basename(file)));
        assert.deepEqual(again.table.groups.map(({ count }) => count), [14, 31, 62, 10]);
        const [own, read] = [await scoreOf(engine, smaller, file), await scoreOf(engine, again.graph, file)];
        assert.ok(Math.abs(own.loss - read.loss) < 1e-6, `loss ${own.loss} and ${read.loss}`);
        assert.ok(Math.abs(own.loss - whole.loss) > 1e-5, 'removing changed nothing');
      } finally {
        fs.rmSync(folder, { recursive: true });
      }
    });
  }
});

async function opened(file: string): Promise<{ graph: ModelGraph; table: ParticleTable }> {
  const graph = await openModel(await fileSetOf(file));
  const table = decompose(graph);
  await addAttributes(graph, table);
  return { graph, table };
}

function columnsOf(table: ParticleTable): Map<string, Float32Array> {
  return new Map(table.columns.map(({ name, values }) => [name, values]));
}

async function scoreOf(engine: Engine, graph: ModelGraph, file: string): ReturnType<typeof evaluate> {
  // The data set fits itself to the inputs of the file, channels first or last.
  const { data } = await openSample(file, recipe);
  return evaluate(graph, engine, data, { memoryBytes: 2 ** 28 });
}
