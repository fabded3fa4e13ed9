import assert from 'node:assert/strict';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import { equalBins, informationBits } from '../../../src/core/behaviour/mutualInformation';
import { addBehaviour } from '../../../src/core/behaviour/registry';
import { float32Array } from '../../../src/core/graph/numeric';
import type { NdArray } from '../../../src/core/graph/tensor';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';
import { graphOf, node, seededRandom } from '../support/graphs';

/** Five neurons with known parts: dead, one logit itself, noise, fires for one class only, and the label in part. */
const [dead, logit, noise, oneClass, half] = [0, 1, 2, 3, 4];
const [samples, classes] = [600, 3];

describe('planted truth', function () {
  this.timeout(60_000);
  let context: BehaviourContext;

  before(async () => {
    context = await planted();
    await addBehaviour(context, new Set([
      'activationMean', 'labelInformation', 'outputCorrelation', 'classSelectivity', 'contributedOutput', 'gradientActivation', 'taylorImportance',
      'integratedGradients', 'conductance', 'estimatedLossChange', 'taylorLossChange',
    ]));
  });

  it('a dead unit', () => {
    for (const [column, value] of Object.entries({
      activationMean: 0, activationDeviation: 0, activationMinimum: 0, activationMaximum: 0, sparsity: 1, deadShare: 1, activationEntropy: 0, labelInformation: 0,
      outputCorrelation: 0, gradientActivation: 0, taylorImportance: 0, integratedGradients: 0, conductance: 0, estimatedLossChange: 0, taylorLossChange: 0,
      outputContributionShare: 0,
    })) {
      assert.ok(Math.abs(of(column, dead) - value) < 1e-6, `${column}: ${of(column, dead)}`);
      assert.ok([logit, noise, oneClass, half].some((unit) => Math.abs(of(column, unit) - value) > 1e-3), `${column} says so of every unit`);
    }
    assert.ok(Number.isNaN(of('correlatedOutput', dead)) && Number.isNaN(of('contributedOutput', dead)), 'it has no output of its own');
  });

  it('a unit that equals one logit', () => {
    close(of('outputCorrelation', logit), 1, 1e-5);
    assert.equal(of('correlatedOutput', logit), 1);
    close(of('outputContributionShare', logit), 1, 1e-5);
    assert.equal(of('contributedOutput', logit), 1);
    assert.ok(of('outputCorrelation', noise) < 0.5);
  });

  it('a unit that does not depend on the label says nothing of it, one that does says how much', () => {
    assert.ok(of('labelInformation', noise) < 0.02, `${of('labelInformation', noise)}`);
    // Fires for one class of three: the entropy of a third against two thirds.
    close(of('labelInformation', oneClass), -(Math.log2(1 / 3) / 3 + (2 * Math.log2(2 / 3)) / 3), 0.02);
    assert.ok(of('labelInformation', half) > 0.1 && of('labelInformation', half) < 1, `${of('labelInformation', half)}`);
  });

  it('a unit that fires for one class only', () => {
    close(of('classSelectivity', oneClass), 1, 1e-6);
    assert.equal(of('preferredClass', oneClass), 2);
    close(of('deadShare', oneClass), 2 / 3, 1e-6);
    close(of('sparsity', oneClass), 2 / 3, 1e-6);
    close(of('activationMinimum', oneClass), 0, 1e-6);
    close(of('activationMaximum', oneClass), 1, 1e-6);
    close(of('activationEntropy', oneClass), -(Math.log2(1 / 3) / 3 + (2 * Math.log2(2 / 3)) / 3), 1e-3);
    assert.ok(of('classSelectivity', noise) < 0.1);
  });

  it('entropy of even outputs is 5 bits', () => assert.ok(of('activationEntropy', noise) > 4.8 && of('activationEntropy', noise) <= 5));

  it('the correction takes away the information that counting alone invents', () => {
    const random = seededRandom(8);
    let corrected = 0;
    for (let turn = 0; turn < 20; turn++) {
      const [one, two] = [8, 10].map((kinds) => Int32Array.from({ length: 300 }, () => Math.floor(random() * kinds)));
      corrected += informationBits(one!, two!) / 20;
    }
    assert.ok(corrected < 0.04, `${corrected}: without the correction it is about ${(63 / 600 / Math.LN2).toFixed(2)}`);
    const label = Int32Array.from({ length: 400 }, (_, at) => at % 4);
    close(informationBits(label, label), 2, 0.01);
    assert.deepEqual(Array.from(equalBins(Float32Array.of(0, 0, 0, 0, 1, 2, 3, 4), 4)), [0, 0, 0, 0, 2, 2, 3, 3]);
  });

  function of(column: string, unit: number): number {
    return context.table.column(column)!.values[context.table.group('units')!.firstRow + unit]!;
  }
});

async function planted(): Promise<BehaviourContext> {
  const random = seededRandom(3);
  const labels = Int32Array.from({ length: samples }, (_, sample) => sample % classes);
  const inputs = Float32Array.from({ length: samples * 4 }, (_, at) => {
    const label = labels[Math.floor(at / 4)]!;
    return [() => random() * 2, () => random(), () => Number(label === 2), () => label + random() * 3][at % 4]!();
  });
  const graph = await graphOf({
    inputs: { x: [null, 4] }, outputs: ['y'],
    weights: {
      // Inputs: a logit, noise, the class 2, and the class with noise.
      first: float32Array([0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1], [4, 5]), bias: float32Array([-1, 0, 0, 0, 0]),
      second: float32Array([1, 1, 1, 0, 1, 0, 0.2, 0, 0.3, 0, 0, 2, 0.3, 0, 0.4], [5, 3]),
    },
    nodes: [node('Gemm', ['x', 'first', 'bias'], 'before', {}, 'units'), node('Relu', ['before'], 'after', {}, 'units'), node('MatMul', ['after', 'second'], 'y')],
  });
  const slice = (from: number, to: number): NdArray => float32Array(inputs.subarray(from * 4, to * 4), [to - from, 4]);
  return {
    graph, table: decompose(graph), engine: await createEngine('auto'), memoryBytes: 2 ** 26, report: () => undefined,
    data: {
      title: 'planted', task: 'classification', count: samples, seed: 1, synthetic: false,
      inputs: (from, to) => Promise.resolve(new Map([['x', slice(from, to)]])),
      labels: (from, to) => Promise.resolve({ dtype: 'int32', shape: [to - from], data: labels.slice(from, to) }),
    },
  };
}

function close(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} instead of ${expected}`);
}
