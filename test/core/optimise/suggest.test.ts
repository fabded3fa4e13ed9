import assert from 'node:assert/strict';
import path from 'node:path';
import { evaluate } from '../../../src/core/evaluate/evaluate';
import type { Suggestion } from '../../../src/core/optimise/plan';
import { suggest, type Suggestions } from '../../../src/core/optimise/suggest';
import { applyPlan } from '../../../src/core/optimise/surgery';
import { digits, openSample, root } from '../support/openSample';

describe('suggest', function () {
  this.timeout(120_000);
  let context: Awaited<ReturnType<typeof openSample>>;
  let found: Suggestions;

  before(async () => {
    context = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'));
    found = await suggest(context, { maxDrop: 0.01 });
  });

  it('one over all layers first, one of what does nothing, one a layer', () => {
    assert.deepEqual(found.suggestions.map(({ id }) => id).slice(0, 2), ['remove:*', 'remove:idle']);
    assert.deepEqual(found.suggestions.map(({ id }) => id).sort(), ['remove:*', 'remove:conv1', 'remove:conv2', 'remove:dense1', 'remove:idle']);
    assert.ok(Math.abs(found.baseline.loss - 0.05559728) < 1e-6);
  });

  it('what is predicted is what the operated model gives', async () => {
    for (const suggestion of found.suggestions) {
      const { graph, refusals } = await operate(suggestion);
      assert.deepEqual(refusals, []);
      const after = await evaluate(graph, context.engine, context.data, { memoryBytes: 2 ** 28 });
      const { predicted } = suggestion;
      assert.ok(Math.abs(after.loss - found.baseline.loss - predicted.loss!) < 1e-5, suggestion.id);
      assert.ok(Math.abs(after.metrics['accuracy']! - found.baseline.metrics['accuracy']! - predicted.metric!.change) < 1e-9, suggestion.id);
      assert.deepEqual([after.parameters, after.macs, after.bytes], [predicted.parameters, predicted.macs, predicted.bytes]);
    }
  });

  it('stays within the drop, and saves a great deal', () => {
    for (const { predicted } of found.suggestions) assert.ok(predicted.metric!.change >= -0.01 - 1e-9);
    const [whole] = found.suggestions;
    assert.ok(whole!.predicted.parameters < 0.3 * found.baseline.parameters, String(whole!.predicted.parameters));
    assert.ok(whole!.predicted.macs < 0.4 * found.baseline.macs, String(whole!.predicted.macs));
  });

  it('what does nothing is marked lossless, and really changes no output', async () => {
    const idle = found.suggestions.find(({ lossless }) => lossless)!;
    assert.equal(idle.id, 'remove:idle');
    for (const id of ['conv1/kernel:0', 'conv1/kernel:1', 'conv1/kernel:7', 'conv1/kernel:12', 'conv2/kernel:6', 'conv2/kernel:10']) assert.ok(idle.particles.includes(id), id);
    assert.ok(Math.abs(idle.predicted.loss!) < 1e-5);
  });

  it('never empties a layer, even when everything may be lost', async () => {
    const { suggestions } = await suggest(context, { maxDrop: 1 });
    for (const { particles } of suggestions) {
      for (const { layer, count } of context.table.groups) {
        const gone = particles.filter((id) => id.startsWith(`${layer}/`)).length;
        assert.ok(gone <= count - Math.ceil(0.1 * count), `${layer} loses ${gone} of ${count}`);
      }
    }
  });

  it('a target is reached with no more than it needs', async () => {
    const { suggestions, baseline } = await suggest(context, { maxDrop: 0.01, target: { macs: 0.6 } });
    const [whole] = suggestions;
    assert.ok(whole!.predicted.macs <= 0.6 * baseline.macs && whole!.predicted.macs > 0.5 * baseline.macs, String(whole!.predicted.macs));
    assert.match(whole!.evidence, /This reaches the target/);
    const beyond = await suggest(context, { maxDrop: 0.001, target: { macs: 0.01 } });
    assert.match(beyond.suggestions[0]!.evidence, /The target cannot be reached/);
  });

  it('the output layer stays, with the reason; what a sum ties together goes together', async () => {
    assert.deepEqual(found.refusals.map(({ layer }) => layer), ['dense2']);
    assert.match(found.refusals[0]!.reason, /output/);
    const fixtures = path.join(root, 'test/fixtures/ablation');
    const residual = await openSample(path.join(fixtures, 'residual.onnx'), path.join(fixtures, 'residual.particlize.json'));
    const { refusals, suggestions } = await suggest(residual, { maxDrop: 1 });
    assert.deepEqual(refusals.map(({ layer }) => layer), ['head']);
    assert.ok(refusals.every(({ reason }) => reason.length > 10));
    const layers = suggestions[0]!.particles.map((id) => id.split('/')[0]);
    assert.deepEqual([...new Set(layers)], ['stem', 'body']);
    assert.equal(layers.filter((layer) => layer === 'stem').length, layers.filter((layer) => layer === 'body').length);
  });

  function operate({ particles }: Suggestion): ReturnType<typeof applyPlan> {
    return applyPlan(context.graph, context.table, { version: 1, model: { file: '', sha256: '' }, steps: [{ action: 'remove', particles }] });
  }
});
