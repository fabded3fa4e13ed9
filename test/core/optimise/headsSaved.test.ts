import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileSetOf } from '../../../src/compute/files';
import { formatById, openModel } from '../../../src/core/formats/registry';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { asFloat32 } from '../../../src/core/graph/numeric';
import { applyPlan } from '../../../src/core/optimise/surgery';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';
import { relativeError } from '../support/graphs';
import { contentsOf, fixtureFolder } from '../support/memoryFiles';

const folder = path.join(fixtureFolder, 'attention');
const python = process.env['PARTICLIZE_PYTHON'];

interface Numbers {
  readonly shape: number[];
  readonly data: number[];
}

const expected = JSON.parse(fs.readFileSync(path.join(folder, 'sequence.json'), 'utf8')) as Readonly<Record<'input' | 'output' | 'silent', Numbers>>;

/** What test/fixtures/make/kerasSequence.py silenced in Keras: one unit of each layer and direction, a head, a group of heads. */
const gone = [
  'lstm/unit:1', 'gru/unit:4', 'both/unit:2', 'both.1/unit:2', 'attention/head:1', 'grouped/head:2', 'grouped/head:3',
];

describe('recurrent layers and attention that lost units and heads, saved for Keras', function () {
  this.timeout(60_000);
  let engine: Engine;
  let target: string;
  before(async () => {
    engine = await createEngine('auto', { threads: 1 });
    target = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-'));
  });
  after(() => fs.rmSync(target, { recursive: true }));

  for (const file of ['sequence.keras', 'sequence.h5']) {
    it(`${file}: opens again and computes what Keras does when they are silent`, async () => {
      const original = await openModel(await fileSetOf(path.join(folder, file)));
      assert.deepEqual(original.findings, []);
      assert.ok(relativeError(await run(engine, original), expected.output.data) <= 1e-5);
      const again = await openModel(await fileSetOf(await saved(file, original, target)));
      const result = await run(engine, again);
      assert.ok(relativeError(result, expected.silent.data) <= 1e-5, `${relativeError(result, expected.silent.data)}`);
      assert.ok(relativeError(result, expected.output.data) > 1e-3, 'silence is heard');
      const counts = Object.fromEntries(decompose(again).groups.map(({ layer, count }) => [layer, count]));
      assert.deepEqual(counts, { lstm: 4, gru: 5, both: 3, 'both.1': 3, attention: 2, 'attention.1': 8, grouped: 2, 'grouped.1': 8 });
    });

    it(`${file}: Keras itself loads it and computes the same${python ? '' : ' (skipped: wants PARTICLIZE_PYTHON)'}`, async function () {
      if (!python) return this.skip();
      const main = await saved(file, await openModel(await fileSetOf(path.join(folder, file))), target);
      const script = `import sys, json, numpy as np, keras
model = keras.saving.load_model(sys.argv[1], compile=False)
x = np.array(json.load(sys.stdin), dtype='float32').reshape(${JSON.stringify(expected.input.shape)})
print('RESULT' + json.dumps(np.asarray(model(x)).ravel().tolist()))`;
      const printed = execFileSync(python, ['-c', script, main], {
        input: JSON.stringify(expected.input.data), encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'], env: { ...process.env, CUDA_VISIBLE_DEVICES: '', TF_CPP_MIN_LOG_LEVEL: '3' },
      });
      const own = JSON.parse(/RESULT(.*)/.exec(printed)![1]!) as number[];
      assert.ok(relativeError(own, expected.silent.data) <= 1e-5, `${relativeError(own, expected.silent.data)}`);
    });
  }

  it('directions that lost different numbers of units are refused with what to do', async () => {
    const original = await openModel(await fileSetOf(path.join(folder, 'sequence.keras')));
    await assert.rejects(saved('sequence.keras', original, target, ['both/unit:1']), /layer both: Keras takes its two directions for equally wide, but 'units' would be 3 forwards and 4 backwards.*Remove as many/s);
  });
});

async function saved(file: string, original: ModelGraph, target: string, particles: readonly string[] = gone): Promise<string> {
  const plan = { version: 1 as const, model: { file, sha256: '' }, steps: [{ action: 'remove' as const, particles }] };
  const { graph, refusals } = await applyPlan(original, decompose(original), plan);
  assert.deepEqual(refusals, []);
  for (const one of await formatById(original.format)!.save!(original, graph, file)) fs.writeFileSync(path.join(target, one.name), await contentsOf(one));
  return path.join(target, file);
}

async function run(engine: Engine, graph: ModelGraph): Promise<Float32Array> {
  const [input, output] = [graph.inputs[0]!.name, graph.outputs[0]!.name];
  const program = await engine.compile(graph, [input], [output]);
  const { shape, data } = expected.input;
  const result = asFloat32((await program.run(new Map([[input, { dtype: 'float32', shape, data: Float32Array.from(data) }]]))).get(output)!).slice();
  await program.dispose();
  return result;
}
