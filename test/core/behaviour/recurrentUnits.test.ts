import assert from 'node:assert/strict';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import { gatesAlongText, gateSaturation } from '../../../src/core/behaviour/recurrentGates';
import { fading } from '../../../src/core/behaviour/memoryLength';
import { addBehaviour, behaviourColumns } from '../../../src/core/behaviour/registry';
import type { BarsData, TextData } from '../../../src/core/behaviour/details/detailData';
import { openRecurrent, unfoldReading } from '../../../src/core/behaviour/recurrentLayer';
import { int, ints } from '../../../src/core/graph/attributes';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { behaviourKinds, openBehaviourKind } from '../support/behaviourKinds';
import { graphOf, int64, node, relativeError, seededRandom } from '../support/graphs';
import { float32, memoryContext } from '../support/memoryContext';
import { openSequenceModel } from '../support/sequenceModels';

describe('recurrent units', function () {
  this.timeout(30_000);

  for (const kind of ['lstm', 'gru'] as const) {
    describe(`${kind}, both directions`, () => {
      const known = behaviourKinds[kind];
      let context: BehaviourContext;
      before(async () => {
        context = await memoryContext(await openBehaviourKind(kind), { x: float32(known.x, [known.samples, known.steps, 3]) });
      });

      it('gates and states along a sample are PyTorch\'s', async () => {
        for (let unit = 0; unit < 4; unit++) {
          const text = await gatesAlongText.compute(context, { group: unitsOf(context), particle: unit, sample: 1 }) as TextData;
          for (const [suffix, values] of [['', known.second], [', backwards', known.secondBackwards]] as const) {
            for (const [name, all] of Object.entries(values)) {
              const own = text.series.find((series) => series.name === `${name}${suffix}`)!;
              const torch = Array.from({ length: known.steps }, (_, step) => all[step * 4 + unit]!);
              assert.ok(relativeError(own.values, torch) < 1e-5, `${name}${suffix} of unit ${unit}`);
            }
          }
        }
      });

      it('shares of steps with a gate shut or open are PyTorch\'s', async () => {
        await addBehaviour(context, new Set(['inputGateSaturation']));
        for (const [gate, { shut, open }] of Object.entries(known.shares)) {
          const column = context.table.column(`${gate}GateSaturation`)!;
          for (let unit = 0; unit < 4; unit++) close(column.values[unitsOf(context).firstRow + unit]!, shut[unit]! + open[unit]!, 1e-6);
          const bars = await gateSaturation.compute(context, { group: unitsOf(context), particle: 2, sample: 0 }) as BarsData;
          close(bars.values[bars.labels.indexOf(`${gate} shut`)]!, shut[2]!, 1e-6);
          close(bars.values[bars.labels.indexOf(`${gate} open`)]!, open[2]!, 1e-6);
        }
        const other = kind === 'lstm' ? 'update' : 'input';
        assert.ok(Number.isNaN(context.table.column(`${other}GateSaturation`)!.values[unitsOf(context).firstRow]!));
      });
    });
  }

  it('unfolded states are the operator\'s in every kind of recurrent network', async () => {
    for (const name of ['lstm', 'lstmStacked', 'lstmState', 'gru', 'gruBoth', 'rnn', 'twoKinds']) {
      const { graph, inputs } = await openSequenceModel(name);
      const context = await memoryContext(graph, Object.fromEntries(graph.inputs.map((input, index) => [input.name, inputs[index]!])));
      for (const group of context.table.groups.filter((candidate) => candidate.kind === 'unit')) {
        const layer = (await openRecurrent(context.engine, { graph }, group))!;
        const reading = await layer.read(await context.data.inputs(0, context.data.count));
        for (let direction = 0; direction < layer.directions; direction++) {
          const { error, states } = unfoldReading(layer.node, direction, reading);
          assert.ok(error < 1e-5, `${name} ${group.layer}: ${error}`);
          assert.ok(states.some((value) => Math.abs(value) > 0.01));
        }
        await layer.dispose();
      }
    }
  });

  it('a unit that counts remembers to the end, one that forgets does not, and one in between as long as its forget gate says', async () => {
    const context = await memoryContext(await counting(), { x: steps(4, 40) }, { classLabels: [0, 1, 0, 1] });
    await addBehaviour(context, new Set(['memoryLength']));
    const { firstRow } = unitsOf(context);
    const [counter, halving, forgetful] = context.table.column('memoryLength')!.values.subarray(firstRow, firstRow + 3);
    assert.equal(counter, 30, 'three quarters of 40 steps');
    // Trace of step k: 0.8^k; the first step is the largest, 0.8^(k - 1) >= 1/e up to k = 5.
    assert.equal(halving, 5);
    assert.equal(forgetful, 0);
  });

  it('the memory of a plain unit is that of its own feedback', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 40, 1] }, outputs: ['y'],
      nodes: [
        node('Transpose', ['x'], 'xt', { perm: ints([1, 0, 2]) }), node('RNN', ['xt', 'w', 'r'], ['s', 'h'], { hidden_size: int(2) }, 'rnn'),
        node('Squeeze', ['h', 'axis'], 'hs'), node('Gemm', ['hs', 'v'], 'y'),
      ],
      weights: { w: float32([0.001, 0.001], [1, 2, 1]), r: float32([0.9, 0, 0, 0], [1, 2, 2]), axis: int64([0]), v: [2, 2] },
    });
    const context = await memoryContext(graph, { x: steps(4, 40) });
    await addBehaviour(context, new Set(['memoryLength']));
    const { firstRow } = unitsOf(context);
    // 0.9^k >= 1/e up to k = 9.49.
    assert.equal(context.table.column('memoryLength')!.values[firstRow], 9);
    assert.equal(context.table.column('memoryLength')!.values[firstRow + 1], 0, 'it hears nothing of itself');
  });

  it('a trace fades where it stays below 1/e for good', () => {
    assert.equal(fading(Float64Array.of(0, 1, 0.2, 0.5, 0.3, 0.2), 1), 3);
    assert.equal(fading(Float64Array.of(0, 0, 0), 1), 0);
  });

  it('models without units do not get their columns unless they are named', async () => {
    const graph = await graphOf({ inputs: { x: [null, 3] }, outputs: ['y'], nodes: [node('Gemm', ['x', 'w'], 'h'), node('Gemm', ['h', 'v'], 'y')], weights: { w: [3, 4], v: [4, 2] } });
    const context = await memoryContext(graph, { x: float32([1, 2, 3, 4, 5, 6], [2, 3]) });
    await addBehaviour(context);
    assert.equal(context.table.column('memoryLength'), undefined);
    assert.ok(context.table.column('activationTwin'));
    assert.ok(behaviourColumns.some(({ name }) => name === 'memoryLength'));
  });
});

/** Three LSTM units: one adds up its input for ever, one keeps 0.8 of its cell a step, one keeps nothing. */
function counting(): Promise<ModelGraph> {
  const units = 3;
  const logit = (share: number): number => Math.log(share / (1 - share));
  const bias = new Float32Array(8 * units);
  const forget = [20, logit(0.8), -20];
  for (let unit = 0; unit < units; unit++) {
    // Gates i, o, f, c: let in and let out always; the cell takes a little of the input.
    bias[unit] = 20;
    bias[units + unit] = 20;
    bias[2 * units + unit] = forget[unit]!;
  }
  const w = new Float32Array(4 * units).fill(0);
  w.fill(0.01, 3 * units);
  return graphOf({
    inputs: { x: [null, 40, 1] }, outputs: ['y'],
    nodes: [
      node('Transpose', ['x'], 'xt', { perm: ints([1, 0, 2]) }),
      node('LSTM', ['xt', 'w', 'r', 'b'], ['s', 'h', 'c'], { hidden_size: int(units) }, 'lstm'),
      node('Squeeze', ['h', 'axis'], 'hs'), node('Gemm', ['hs', 'v'], 'y'),
    ],
    weights: { w: float32(w, [1, 4 * units, 1]), r: float32(new Float32Array(4 * units * units), [1, 4 * units, units]), b: float32(bias, [1, 8 * units]), axis: int64([0]), v: [units, 2] },
  });
}

function steps(samples: number, length: number): ReturnType<typeof float32> {
  const random = seededRandom(3);
  return float32(Float32Array.from({ length: samples * length }, random), [samples, length, 1]);
}

function unitsOf(context: BehaviourContext): BehaviourContext['table']['groups'][number] {
  return context.table.groups.find(({ kind }) => kind === 'unit')!;
}

function close(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} instead of ${expected}`);
}
