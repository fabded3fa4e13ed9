import assert from 'node:assert/strict';
import path from 'node:path';
import { int } from '../../../src/core/graph/attributes';
import { particleIndices } from '../../../src/core/behaviour/consumers';
import { addBehaviour } from '../../../src/core/behaviour/registry';
import { maskArray, withMasks, type Silence } from '../../../src/core/behaviour/silences';
import { openMasked } from '../../../src/core/behaviour/masked';
import { evaluate } from '../../../src/core/evaluate/evaluate';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';
import { couplingGroups } from '../../../src/core/optimise/groups';
import { removalOf } from '../../../src/core/optimise/removal';
import { removeAxes } from '../../../src/core/optimise/removeAxes';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';
import { graphOf, node, relativeError } from '../support/graphs';
import { openSample, root } from '../support/openSample';
import { families, inputsFor, randomOfFamily } from '../support/randomFamilies';

describe('where particles act', function () {
  this.timeout(60_000);
  let engine: Engine;
  before(async () => (engine = await createEngine('auto', { threads: 1 })));

  it('behind a norm of concatenated or flattened channels, each at its own places', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 2, 3, 3] }, outputs: ['y'],
      weights: { a: [2, 2, 1, 1], b: [3, 2, 1, 1], s: [5], t: [5], m: [5], v: [5], d: [45, 4] },
      nodes: [
        node('Conv', ['x', 'a'], 'ca'), node('Conv', ['x', 'b'], 'cb'), node('Concat', ['ca', 'cb'], 'c', { axis: int(1) }),
        node('BatchNormalization', ['c', 's', 't', 'm', 'v'], 'n'), node('Flatten', ['n'], 'f'), node('Sigmoid', ['f'], 'g'), node('MatMul', ['g', 'd'], 'y'),
      ],
    });
    const [first, second] = decompose(graph).groups;
    assert.deepEqual(first!.acts.map(({ value, axis }) => [value, axis]), [['g', 1]]);
    assert.deepEqual(particleIndices(graph, first!.acts[0]!, 2)![1], [9, 10, 11, 12, 13, 14, 15, 16, 17]);
    assert.deepEqual(particleIndices(graph, second!.acts[0]!, 3)![2]!.slice(0, 2), [36, 37]);
    assert.ok(!second!.slices.some(({ tensor }) => tensor === 's'), 'a norm of several layers belongs to none of them');
  });

  for (const name of ['residual', 'branches', 'separable']) {
    it(`${name}: any set of particles masked at once scores what the smaller model does`, async () => {
      const fixtures = path.join(root, 'test/fixtures/ablation');
      const context = await openSample(path.join(fixtures, `${name}.onnx`), path.join(fixtures, `${name}.particlize.json`));
      const { graph, table, data } = context;
      const free = couplingGroups(graph, table).groups.flatMap(({ bundles }) => bundles.filter(({ stays }, index) => stays === undefined && index % 3 === 1));
      const rows = free.flatMap((bundle) => bundle.rows);
      const masked = await openMasked(context);
      const { loss, metrics } = await masked.evaluate(rows.slice(0, 1).concat(rows));
      await masked.dispose();
      const small = await removeAxes(graph, removalOf(graph, table, new Set(rows)).removed);
      const after = await evaluate(small, context.engine, data, { memoryBytes: 2 ** 28 });
      assert.ok(rows.length > 2 && Math.abs(loss - after.loss) <= 1e-5, `${rows.length} particles: ${loss} masked, ${after.loss} operated`);
      assert.deepEqual(metrics, after.metrics);
    });
  }

  for (const model of ['model.onnx', 'model.keras']) {
    it(`clips/${model}: a kernel that is silent in every frame loses what the model without it does, though frames and samples share an axis`, async () => {
      const home = path.join(root, 'media/samples/clips');
      const context = await openSample(path.join(home, model), path.join(home, 'clips.particlize.json'), { samples: 24 });
      const { graph, table, data, engine } = context;
      await addBehaviour(context, new Set(['ablationLossChange']));
      const before = await evaluate(graph, engine, data, { memoryBytes: 2 ** 28 });
      for (const group of table.groups.filter(({ kind }) => kind === 'kernel')) {
        const row = group.firstRow + 1;
        const small = await removeAxes(graph, removalOf(graph, table, new Set([row])).removed);
        const { loss } = await evaluate(small, engine, data, { memoryBytes: 2 ** 28 });
        const change = table.column('ablationLossChange')!.values[row]!;
        assert.ok(loss !== before.loss && Math.abs(loss - before.loss - change) <= 1e-4 * Math.max(1, Math.abs(change)), `${table.id(row)}: ${change} silent, ${loss - before.loss} gone`);
      }
    });
  }

  // Where a sum, a recurrence or the next step ties particles together, removing one is more than silencing it.
  for (const family of Object.keys(families).filter((name) => !/recurrent|encoderDecoder|tiedEmbedding/.test(name))) {
    it(`${family}: a particle by itself that is silent equals the model without it`, async () => {
      let compared = 0;
      for (let seed = 1; seed <= 2; seed++) {
        const graph = await randomOfFamily(family, seed);
        const table = decompose(graph);
        const single = couplingGroups(graph, table).groups.map(({ bundles }) => bundles[seed % bundles.length]!)
          .filter(({ rows, stays }) => rows.length === 1 && stays === undefined);
        const feeds = inputsFor(graph, seed);
        for (const { rows: [row] } of single.slice(0, 3)) {
          const group = table.groupOf(row!);
          const silences = group.acts.map((at): Silence => ({ at, indices: new Set(particleIndices(graph, at, group.count)![row! - group.firstRow]!) }));
          const masked = withMasks(graph, silences.map(({ at }) => at));
          const silent = await run(engine, masked.graph, new Map([...feeds, ...masked.masks.map((mask) => [mask.name, maskArray(mask, silences)] as const)]));
          const without = await run(engine, await removeAxes(graph, removalOf(graph, table, new Set([row!])).removed), feeds);
          const error = relativeError(without, silent);
          assert.ok(error <= 1e-5, `seed ${seed}, ${table.id(row!)}: ${error}`);
          compared++;
        }
      }
      assert.ok(compared > 0 || /group|squeeze|mobileNet|pixelShuffle/i.test(family), 'some particle goes by itself');
    });
  }
});

async function run(engine: Engine, graph: ModelGraph, feeds: ReadonlyMap<string, NdArray>): Promise<Float32Array> {
  const output = graph.outputs[0]!.name;
  const program = await engine.compile(graph, [...feeds.keys()], [output]);
  const result = (await program.run(feeds)).get(output)!.data as Float32Array;
  await program.dispose();
  return result;
}
