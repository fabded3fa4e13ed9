import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { BehaviourContext } from '../../../../src/core/behaviour/behaviour';
import { ParticlizeError } from '../../../../src/core/graph/errors';
import { asFloat32, float32Array } from '../../../../src/core/graph/numeric';
import { tensorOf } from '../../../../src/core/graph/tensor';
import { couplingGroups } from '../../../../src/core/optimise/groups';
import type { Normalisation, Reduction } from '../../../../src/core/optimise/criteria/criterion';
import { criteria } from '../../../../src/core/optimise/criteria/registry';
import { scoreBundles, type CriterionChoice } from '../../../../src/core/optimise/criteria/scoreBundles';
import { openSample, root } from '../../support/openSample';

/** By 'criterion reduction normalisation': by layer a number a channel, as Torch-Pruning has them. */
const folder = path.join(root, 'test/fixtures/criteria');
const { loss: _, fpgmOfHidden, ...expected } = JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8')) as
  Record<string, Record<string, number[] | null>> & { loss: unknown; fpgmOfHidden: number[] };

describe('pruning criteria', function () {
  this.timeout(60_000);
  let context: BehaviourContext;
  before(async () => void (context = await openSample(path.join(folder, 'net.onnx'), path.join(folder, 'net.particlize.json'))));

  /** By layer, a number for each of its particles. */
  async function scoresOf(own: BehaviourContext, choice: CriterionChoice): Promise<(layer: string) => number[]> {
    const coupling = couplingGroups(own.graph, own.table);
    const scores = await scoreBundles(own, coupling, choice);
    const bundles = coupling.groups.flatMap((group) => group.bundles);
    assert.equal(scores.length, bundles.length);
    return (layer) => {
      const { firstRow, count } = own.table.groups.find((group) => group.layer.endsWith(layer))!;
      return Array.from({ length: count }, (__, particle) => scores[bundles.indexOf(coupling.bundleOf(firstRow + particle))]!);
    };
  }

  for (const [title, layers] of Object.entries(expected)) {
    it(`are Torch-Pruning's: ${title}`, async () => {
      const [name, reduce, normalise] = title.split(' ') as [string, Reduction, Normalisation];
      const ofMagnitudes = name === 'fpgmOfMagnitudes';
      const found = await scoresOf(ofMagnitudes ? await positive(context) : context, { criterion: ofMagnitudes ? 'fpgm' : name, reduce, normalise });
      for (const [layer, values] of Object.entries(layers)) {
        // A maximum over flattened places is taken otherwise: Torch-Pruning keeps one of the places, here they are added up.
        if (reduce === 'max' && layer === 'last') continue;
        near(found(layer), values ?? found(layer).map(() => NaN), `${title} ${layer}`);
      }
    });
  }

  it('FPGM is of the weights themselves: plain distances where the layer counts alone', async () => {
    // The head's columns are the other part; without them the rows of the hidden layer are left.
    const tensors = new Map(context.graph.tensors);
    const head = tensors.get('head.weight')!;
    tensors.set('head.weight', tensorOf('head.weight', float32Array(new Float32Array(5 * 12), head.shape)));
    const found = await scoresOf({ ...context, graph: { ...context.graph, tensors } }, { criterion: 'fpgm', reduce: 'sum', normalise: 'none' });
    near(found('hidden'), fpgmOfHidden, 'hidden');
  });

  it('every criterion says something of the layers in the middle, and by default not the same of all', async () => {
    for (const { name } of criteria) {
      const found = await scoresOf(context, { criterion: name });
      const values = found('inner');
      assert.ok(values.every(Number.isFinite), name);
      // Twins are as redundant as each other.
      assert.ok(new Set(values).size > (name === 'redundancy' ? 1 : values.length - 1), `${name}: ${values.join()}`);
    }
  });

  it('what the residual sum ties gets one number: sums of both layers\' losses, from the columns', async () => {
    const found = await scoresOf(context, { criterion: 'ablation' });
    assert.deepEqual(found('stem'), found('outer'));
    const change = context.table.column('ablationLossChange')!.values;
    const [stem, outer] = ['stem', 'outer'].map((layer) => context.table.groups.find((group) => group.layer.endsWith(layer))!.firstRow) as [number, number];
    near(found('stem'), Array.from({ length: 8 }, (__, at) => change[stem + at]! + change[outer + at]!), 'sum');
    const most = await scoresOf(context, { criterion: 'ablation', reduce: 'max' });
    near(most('stem'), Array.from({ length: 8 }, (__, at) => Math.max(change[stem + at]!, change[outer + at]!)), 'max');
  });

  it('what harms stays below what helps when groups are normalised', async () => {
    const plain = (await scoresOf(context, { criterion: 'ablation', normalise: 'none' }))('inner');
    const order = (values: readonly number[]): number[] => [...values.keys()].sort((one, two) => values[one]! - values[two]!);
    assert.ok(plain.some((value) => value < 0), 'some harm');
    for (const normalise of ['mean', 'max'] as const) {
      assert.deepEqual(order((await scoresOf(context, { criterion: 'ablation', normalise }))('inner')), order(plain), normalise);
    }
  });

  it('random follows the seed', async () => {
    const [one, again, other] = [0, 0, 1].map((seed) => ({ ...context, data: { ...context.data, seed } })) as [BehaviourContext, BehaviourContext, BehaviourContext];
    const of = async (own: BehaviourContext): Promise<number[]> => (await scoresOf(own, { criterion: 'random' }))('hidden');
    assert.deepEqual(await of(one), await of(again));
    assert.notDeepEqual(await of(one), await of(other));
  });

  it('an unknown one is refused with those that there are', async () => {
    await assert.rejects(scoresOf(context, { criterion: 'luck' }), (error: unknown) => error instanceof ParticlizeError && /luck.*hessian/s.test(error.message));
  });
});

/** The same model with the magnitudes of its weights. */
async function positive(context: BehaviourContext): Promise<BehaviourContext> {
  const tensors = new Map(context.graph.tensors);
  for (const [name, tensor] of tensors) {
    if (tensor.dtype === 'float32') tensors.set(name, tensorOf(name, float32Array(asFloat32(await tensor.read()).map(Math.abs), tensor.shape)));
  }
  return { ...context, graph: { ...context.graph, tensors } };
}

function near(found: readonly number[], wanted: readonly number[], title: string): void {
  assert.equal(found.length, wanted.length, title);
  const scale = Math.max(...wanted.map(Math.abs));
  for (const [at, value] of wanted.entries()) {
    if (Number.isNaN(value)) assert.ok(Number.isNaN(found[at]!), `${title} ${at}`);
    else assert.ok(Math.abs(found[at]! - value) <= 1e-4 * Math.max(Math.abs(value), 1e-3 * scale), `${title} ${at}: ${found[at]} instead of ${value}`);
  }
}
