import assert from 'node:assert/strict';
import type { Engine } from '../../../src/core/graph/engine';
import { removalOf } from '../../../src/core/optimise/removal';
import { removeAxes } from '../../../src/core/optimise/removeAxes';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';
import { createTfjsEngine } from '../../../src/engines/tfjs/tfjsEngine';
import { relativeError } from '../support/graphs';
import { openSequenceModel, sequenceModels } from '../support/sequenceModels';
import { silence } from '../support/silence';
import { runOn } from '../support/tfjsModels';

/** What each model consists of; 'stays' where no particle can go (outputs), 'with n' where n others go along (sums, shared keys). */
const particles: Readonly<Record<string, readonly string[]>> = {
  lstm: ['rnn/unit 5', 'head/neuron 2 stays'],
  lstmStacked: ['rnn/unit 5', 'rnn/LSTM_1/unit 5', 'head/neuron 2 stays'],
  lstmState: ['rnn/unit 5 with 1', 'rnn/LSTM_1/unit 5 with 1', 'head/neuron 2 stays'],
  gru: ['rnn/unit 5', 'rnn/GRU_1/unit 5', 'head/neuron 2 stays'],
  gruBoth: ['rnn/unit 5', 'head/neuron 2 stays'],
  rnn: ['rnn/unit 5 with 1', 'rnn/RNN_1/unit 5 with 1', 'head/neuron 2 stays'],
  twoKinds: ['embedding/factor 4', 'lstm/unit 5', 'gru/unit 6', 'head/neuron 3 stays'],
  multihead: ['attention/head 3', 'attention.out_proj/neuron 12 stays', 'first/neuron 20', 'second/neuron 12 stays'],
  sdpa: ['MatMul_1/head 4', 'out/neuron 16 stays'],
  sdpaFusedCausal: ['qkv/head 4', 'out/neuron 16 stays'],
  written: ['MatMul_1/head 4', 'out/neuron 16 stays'],
  grouped: ['MatMul_1/head 4 with 1', 'out/neuron 16 stays'],
  groupedRotary: [
    'embedding/factor 16 stays', 'attention/head 4 with 1', 'attention.out/neuron 16 stays', 'gate/neuron 24 with 1', 'up/neuron 24 with 1', 'down/neuron 16 stays',
  ],
  conditioned: [
    'modulation.1/neuron 72 stays', 'attention.qkv/head 3', 'attention.out/neuron 12 stays', 'first/neuron 20', 'second/neuron 12 stays',
  ],
  norms: ['first/kernel 8 with 3', 'second/kernel 6', 'third/kernel 4 stays'],
};

describe('recurrent networks and transformers from PyTorch', function () {
  this.timeout(30_000);
  let engines: readonly Engine[] = [];

  before(async () => {
    const tfjs = await createTfjsEngine({ id: 'tfjs-wasm' });
    assert.ok(!('reason' in tfjs));
    engines = [await createEngine('ort-native'), tfjs];
  });

  for (const name of sequenceModels) {
    it(`${name}: both engines compute what PyTorch does`, async () => {
      const { graph, inputs, output } = await openSequenceModel(name);
      assert.deepEqual(graph.findings, []);
      for (const engine of engines) {
        assert.deepEqual(engine.unsupported(graph), [], engine.title);
        const [result] = await runOn(engine, graph, ...inputs);
        assert.deepEqual(result!.shape, output.shape, engine.title);
        const error = relativeError(result!.data as Float32Array, output.data);
        assert.ok(error <= (output.shape[1]! >= 50 ? 1e-4 : 1e-5), `${engine.title}: relative error ${error}`);
      }
    });

    it(`${name}: particles that are removed equal particles that nobody hears`, async () => {
      const { graph, inputs } = await openSequenceModel(name);
      const table = decompose(graph);
      const [engine] = engines;
      const [whole] = await runOn(engine!, graph, ...inputs);
      const removed = new Map<string, number>();
      for (const group of table.groups) {
        const removal = removalOf(graph, table, new Set([group.firstRow + (group.count > 1 ? 1 : 0)]));
        if (removal.refusals.length) continue;
        removed.set(group.layer, removal.alsoRows.length);
        const small = await removeAxes(graph, removal.removed);
        const [after] = await runOn(engine!, small, ...inputs);
        const [silent] = await runOn(engine!, await silence(graph, removal.removed), ...inputs);
        const error = relativeError(after!.data as Float32Array, silent!.data as Float32Array);
        assert.ok(error <= 1e-5, `${group.layer}/${group.kind}: ${error}`);
        assert.ok(relativeError(after!.data as Float32Array, whole!.data as Float32Array) > 1e-4, `${group.layer}: something changed`);
        assert.equal(decompose(small).rowCount, table.rowCount - 1 - removal.alsoRows.length, group.layer);
      }
      const found = table.groups.map(({ layer, kind, count }) => `${layer}/${kind} ${count}${!removed.has(layer) ? ' stays' : removed.get(layer) ? ` with ${removed.get(layer)}` : ''}`);
      assert.deepEqual(found, particles[name], 'particles, and which of them can go one by one');
    });
  }
});
