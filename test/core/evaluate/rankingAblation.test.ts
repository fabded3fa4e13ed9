import assert from 'node:assert/strict';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import { addBehaviour } from '../../../src/core/behaviour/registry';
import type { Dataset } from '../../../src/core/data/dataset';
import { evaluate } from '../../../src/core/evaluate/evaluate';
import { finishGraph } from '../../../src/core/graph/finishGraph';
import type { GraphNode, ModelGraph } from '../../../src/core/graph/modelGraph';
import { float32Array, int64Array } from '../../../src/core/graph/numeric';
import { seededRandom } from '../../../src/core/graph/seededRandom';
import { tensorOf } from '../../../src/core/graph/tensor';
import { decompose } from '../../../src/core/particles/decompose';
import { openSample, digits } from '../support/openSample';
import path from 'node:path';

/** A sample is six rows of the model: exact ablation, by hand, must agree with what the columns say. */
describe('ablation of a ranking', () => {
  const random = seededRandom(4);
  const [users, items, factors, hidden, candidates, samples] = [6, 30, 3, 5, 6, 7];
  const normal = (count: number): number[] => Array.from({ length: count }, () => random() * 2 - 1);
  const weights = { U: normal(users * factors), I: normal(items * factors), W: normal(2 * factors * hidden), V: normal(hidden) };
  const picks = Array.from({ length: samples * candidates }, (_, row) => [Math.floor(row / candidates) % users, Math.floor(random() * items)] as const);

  const graph = (silent?: number): Promise<ModelGraph> => {
    const node = (op: string, inputs: readonly string[], output: string, attributes: GraphNode['attributes'] = {}): GraphNode => ({ name: output, op, domain: '', inputs, outputs: [output], attributes, layer: output });
    // Without a hidden unit: its column of weights is zero.
    const w = weights.W.map((value, at) => (at % hidden === silent ? 0 : value));
    const tensors = [tensorOf('U', float32Array(weights.U, [users, factors])), tensorOf('I', float32Array(weights.I, [items, factors])), tensorOf('W', float32Array(w, [2 * factors, hidden])), tensorOf('V', float32Array(weights.V, [hidden, 1]))];
    const nodes = [node('Gather', ['U', 'user'], 'u'), node('Gather', ['I', 'item'], 'i'), node('Concat', ['u', 'i'], 'c', { axis: { type: 'int', value: 1 } }), node('MatMul', ['c', 'W'], 'h'), node('Relu', ['h'], 'r'), node('MatMul', ['r', 'V'], 'y')];
    return finishGraph({
      format: 'test', producer: '', opset: 18, inputs: [{ name: 'user', dtype: 'int64', shape: [null] }, { name: 'item', dtype: 'int64', shape: [null] }],
      outputs: [{ name: 'y', dtype: 'float32', shape: [null, 1] }], nodes, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
      layers: nodes.map(({ name, op }) => ({ name, type: op, nodes: [name], tensors: name === 'h' ? ['W'] : name === 'y' ? ['V'] : name === 'u' ? ['U'] : name === 'i' ? ['I'] : [] })), findings: [], origin: undefined,
    });
  };
  const data: Dataset = {
    title: 'ranks', task: 'ranking', count: samples, seed: 0, synthetic: false, rowsPerSample: candidates, ranking: { k: 2, loss: 'bpr' },
    inputs: (from, to) => {
      const rows = picks.slice(from * candidates, to * candidates);
      return Promise.resolve(new Map([['user', int64Array(rows.map(([user]) => user))], ['item', int64Array(rows.map(([, item]) => item))]]));
    },
    labels: (from, to) => Promise.resolve({ dtype: 'int32', shape: [to - from], data: new Int32Array(to - from) }),
  };

  it('gradients say in one sentence that they need one row a sample', async () => {
    const { engine } = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'));
    const whole = await graph();
    const context: BehaviourContext = { graph: whole, table: decompose(whole), engine, data, memoryBytes: 2 ** 20, report: () => undefined };
    await assert.rejects(addBehaviour(context, new Set(['gradientActivation'])), { name: 'ParticlizeError', message: /ranks: task: gradients and estimates need one row a sample/ });
  });

  it('loss and metric without each hidden unit are those of a model without it', async () => {
    const { engine } = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'));
    const whole = await graph();
    const table = decompose(whole);
    const context: BehaviourContext = { graph: whole, table, engine, data, memoryBytes: 2 ** 20, report: () => undefined };
    await addBehaviour(context, new Set(['ablationLossChange', 'contribution', 'activationMean']));
    const before = await evaluate(whole, engine, data, { memoryBytes: 2 ** 20 });
    const group = table.group('h')!;
    assert.equal(group.count, hidden);
    for (let unit = 0; unit < hidden; unit++) {
      const after = await evaluate(await graph(unit), engine, data, { memoryBytes: 2 ** 20 });
      const [loss, metric] = ['ablationLossChange', 'ablationMetricChange'].map((name) => table.column(name)!.values[group.firstRow + unit]!);
      assert.ok(Math.abs(loss! - (after.loss - before.loss)) < 1e-6, `${loss} instead of ${after.loss - before.loss}`);
      assert.ok(Math.abs(metric! - (after.metrics['HR@2']! - before.metrics['HR@2']!)) < 1e-6);
    }
    assert.ok(table.column('ablationLossChange')!.values.slice(group.firstRow, group.firstRow + hidden).some((value) => Math.abs(value) > 1e-3));
  });
});
