import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileSetOf } from '../../../src/compute/files';
import { saveModel } from '../../../src/compute/saveModel';
import { onnx } from '../../../src/core/formats/onnx';
import { openModel } from '../../../src/core/formats/registry';
import type { PlanStep } from '../../../src/core/optimise/plan';
import { applyPlan } from '../../../src/core/optimise/surgery';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';
import { relativeError } from '../support/graphs';
import { digits, root } from '../support/openSample';
import { inputsFor } from '../support/randomFamilies';
import { runGraph } from '../support/runGraph';

const residual = path.join(root, 'test/fixtures/ablation/residual.onnx');

/** Steps that keep the function compare with the original too. */
const cases: readonly (readonly [string, string, PlanStep, boolean])[] = [
  ['factorise a convolution', path.join(digits, 'model.onnx'), { action: 'factorise', layer: 'conv2', rank: 6 }, false],
  ['factorise it into columns and rows', path.join(digits, 'model.onnx'), { action: 'factorise', layer: 'conv2', rank: 8, way: 'spatial' }, false],
  ['factorise a dense layer at full rank', path.join(digits, 'model.onnx'), { action: 'factorise', layer: 'dense2', rank: 10 }, true],
  ['grow', path.join(digits, 'model.onnx'), { action: 'grow', particles: ['conv1/kernel:3', 'dense1/neuron:5'] }, true],
  ['merge', path.join(digits, 'model.onnx'), { action: 'merge', into: 'conv2/kernel:1', particles: ['conv2/kernel:2'] }, false],
  ['re-weight', path.join(digits, 'model.onnx'), { action: 'reweight', particles: ['conv2/kernel:1'], factors: [0.5] }, false],
  ['mask connections', path.join(digits, 'model.onnx'), { action: 'maskConnections', layer: 'dense1', share: 0.7 }, false],
  ['remove a block', residual, { action: 'removeBlock', block: '' }, false],
];

describe('actions are saved: what the file computes is what the operated model does', function () {
  this.timeout(60_000);
  for (const [title, file, step, same] of cases) {
    it(title, async function () {
      const engine = await createEngine('auto', { threads: 1 });
      const graph = await openModel(await fileSetOf(file));
      const block = graph.nodes.find(({ op }) => op === 'Add');
      const own: PlanStep = step.action === 'removeBlock' ? { ...step, block: block!.layer || block!.name } : step;
      const { graph: operated, refusals } = await applyPlan(graph, decompose(graph), { version: 1, model: { file: 'm.onnx', sha256: '' }, steps: [own] });
      assert.deepEqual(refusals, []);
      const folder = await mkdtemp(path.join(os.tmpdir(), 'particlize-'));
      try {
        const [written] = await saveModel(onnx, graph, operated, { original: file, folder });
        const again = await openModel(await fileSetOf(written!));
        const feeds = inputsFor(graph, 7);
        const now = await runGraph(engine, operated, feeds);
        assert.ok(relativeError(await runGraph(engine, again, feeds), now) <= 1e-6);
        const error = relativeError(now, await runGraph(engine, graph, feeds));
        assert.ok(same ? error <= 1e-5 : error > 1e-5, String(error));
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
  }
});
