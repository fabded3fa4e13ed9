import assert from 'node:assert/strict';
import path from 'node:path';
import { halves } from '../../../src/core/data/halves';
import { evaluate } from '../../../src/core/evaluate/evaluate';
import { checkedPlan } from '../../../src/core/optimise/checkPlan';
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
    assert.deepEqual(found.suggestions.map(({ id }) => id).sort(), ['compensate:0.125', 'remove:*', 'remove:conv1', 'remove:conv2', 'remove:dense1', 'remove:idle']);
    assert.ok(Math.abs(found.baseline.loss - 0.05559728) < 1e-6);
  });

  it('what is predicted is what the operated model gives', async () => {
    for (const suggestion of found.suggestions) {
      const { graph, refusals } = await operate(suggestion);
      assert.deepEqual(refusals, []);
      const { predicted } = suggestion;
      // What is predicted was measured on samples that nothing was chosen by; both halves together are all samples.
      const { choose, check } = halves(context.data)!;
      for (const [data, loss, metric] of [[check, predicted.loss!, predicted.metric!.change], [choose, predicted.chosenOn!.loss, predicted.chosenOn!.metric]] as const) {
        const [before, now] = [await evaluate(context.graph, context.engine, data, { memoryBytes: 2 ** 28 }), await evaluate(graph, context.engine, data, { memoryBytes: 2 ** 28 })];
        assert.ok(Math.abs(now.loss - before.loss - loss) < 1e-5, suggestion.id);
        assert.ok(Math.abs(now.metrics['accuracy']! - before.metrics['accuracy']! - metric) < 1e-9, suggestion.id);
      }
      assert.deepEqual([predicted.samples, predicted.chosenOn!.samples], [180, 180]);
      const after = await evaluate(graph, context.engine, context.data, { memoryBytes: 2 ** 28 });
      assert.deepEqual([after.parameters, after.macs, after.bytes], [predicted.parameters, predicted.macs, predicted.bytes]);
    }
  });

  it('stays within the drop, and saves a great deal', () => {
    for (const { predicted } of found.suggestions) assert.ok(predicted.metric!.change >= -0.01 - 1e-9);
    const [whole] = found.suggestions;
    assert.ok(whole!.predicted.parameters < 0.45 * found.baseline.parameters, String(whole!.predicted.parameters));
    assert.ok(whole!.predicted.macs < 0.5 * found.baseline.macs, String(whole!.predicted.macs));
  });

  it('what does nothing is marked lossless, and really changes no output', async () => {
    const idle = found.suggestions.find(({ lossless }) => lossless)!;
    assert.equal(idle.id, 'remove:idle');
    for (const id of ['conv1/kernel:0', 'conv1/kernel:1', 'conv1/kernel:7', 'conv1/kernel:12', 'conv2/kernel:6', 'conv2/kernel:10']) assert.ok(idle.particles.includes(id), id);
    assert.ok(Math.abs(idle.predicted.loss!) < 1e-5);
  });

  it('never empties a layer, even when everything may be lost', async () => {
    const { suggestions } = await suggest(context, { maxDrop: 1, front: false });
    for (const { particles } of suggestions) {
      for (const { layer, count } of context.table.groups) {
        const gone = particles.filter((id) => id.startsWith(`${layer}/`)).length;
        assert.ok(gone <= count - Math.ceil(0.1 * count), `${layer} loses ${gone} of ${count}`);
      }
    }
  });

  it('a target is reached with no more than it needs', async () => {
    const { suggestions, baseline } = await suggest(context, { maxDrop: 0.01, target: { macs: 0.6 }, front: false });
    const [whole] = suggestions;
    assert.ok(whole!.predicted.macs <= 0.6 * baseline.macs && whole!.predicted.macs > 0.5 * baseline.macs, String(whole!.predicted.macs));
    assert.match(whole!.evidence, /This reaches the target/);
    const beyond = await suggest(context, { maxDrop: 0.001, target: { macs: 0.01 }, front: false });
    assert.match(beyond.suggestions[0]!.evidence, /The target cannot be reached/);
  });

  it('particles that others make up for: an eighth of the work, from a plan that needs no data', async () => {
    const compensated = found.suggestions.find(({ id }) => id === 'compensate:0.125')!;
    assert.ok(compensated.predicted.macs <= 0.125 * found.baseline.macs, String(compensated.predicted.macs));
    assert.ok(compensated.steps.some(({ action }) => action === 'reconstruct'));
    const again = checkedPlan(JSON.parse(JSON.stringify({ version: 1, model: { file: '', sha256: '' }, steps: compensated.steps })), 'plan.json');
    const after = await evaluate((await applyPlan(context.graph, context.table, again)).graph, context.engine, context.data, { memoryBytes: 2 ** 28 });
    const { predicted: { samples, metric, chosenOn } } = compensated;
    const change = (samples! * metric!.change + chosenOn!.samples * chosenOn!.metric) / (samples! + chosenOn!.samples);
    assert.ok(Math.abs(after.metrics['accuracy']! - found.baseline.metrics['accuracy']! - change) < 1e-9);
  });

  it('on the front nothing is beaten in both, and everything else is', () => {
    const worth = ({ predicted }: Suggestion): [number, number] => [-predicted.metric!.change, predicted.macs];
    const beats = (one: Suggestion, other: Suggestion): boolean => {
      const [a, b] = [worth(one), worth(other)];
      return a[0] <= b[0] && a[1] <= b[1] && (a[0] < b[0] || a[1] < b[1]);
    };
    assert.ok(found.front.length >= 1);
    for (const one of found.front) assert.ok(!found.front.some((other) => beats(other, one)), one.id);
    for (const one of found.suggestions.filter(({ id }) => !found.front.some((other) => other.id === id))) {
      assert.ok(found.front.some((other) => beats(other, one) || worth(other).join() === worth(one).join()), one.id);
    }
  });

  it('layers keep what limits and multiples say; a target out of reach says what is in reach', async () => {
    const { suggestions } = await suggest(context, { maxDrop: 0.02, multipleOf: 8, limits: { conv1: 0 }, front: false });
    const gone = (suggestion: Suggestion, layer: string): number => suggestion.particles.filter((id) => id.startsWith(`${layer}/`)).length;
    for (const suggestion of suggestions.filter(({ id }) => id !== 'remove:idle')) {
      assert.equal(gone(suggestion, 'conv1'), 0, suggestion.id);
      for (const { layer, count } of context.table.groups) if (gone(suggestion, layer)) assert.equal((count - gone(suggestion, layer)) % 8, 0, `${suggestion.id}: ${layer}`);
    }
    assert.ok(suggestions.some((suggestion) => gone(suggestion, 'conv2') > 0));
    const beyond = await suggest(context, { maxDrop: 0.01, target: { bytes: 0.001 }, front: false });
    const whole = beyond.suggestions.find(({ id }) => id === 'remove:*')!;
    assert.match(whole.evidence, new RegExp(`the best that can is bytes=${Number((whole.predicted.bytes / beyond.baseline.bytes).toPrecision(4))}`));
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

  function operate({ steps }: Suggestion): ReturnType<typeof applyPlan> {
    return applyPlan(context.graph, context.table, { version: 1, model: { file: '', sha256: '' }, steps });
  }
});
