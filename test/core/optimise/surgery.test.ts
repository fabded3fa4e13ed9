import assert from 'node:assert';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { closeOver, couplingGroups } from '../../../src/core/optimise/groups';
import { removable, removalOf } from '../../../src/core/optimise/removal';
import { shapeChanges } from '../../../src/core/optimise/shapeChanges';
import { removeAxes } from '../../../src/core/optimise/removeAxes';
import { applyPlan } from '../../../src/core/optimise/surgery';
import { decompose } from '../../../src/core/particles/decompose';
import type { ParticleTable } from '../../../src/core/particles/particleTable';
import { createEngine } from '../../../src/engines/registry';
import { randomArray, relativeError, seededRandom } from '../support/graphs';
import { randomNetwork } from '../support/randomGraph';
import { silence } from '../support/silence';

const networks = 60;

async function outputOf(engine: Engine, graph: ModelGraph, seed: number): Promise<Float32Array> {
  const inputs = graph.inputs.map(({ name }) => name);
  const program = await engine.compile(graph, inputs, [graph.outputs[0]!.name]);
  const feed = randomArray([3, 2, 8, 8], seededRandom(seed));
  const result = await program.run(new Map(inputs.map((name) => [name, feed])));
  await program.dispose();
  return result.get(graph.outputs[0]!.name)!.data as Float32Array;
}

/** Rows that may be removed together: some of every layer, with whatever is tied to them. */
function randomRows(graph: ModelGraph, table: ParticleTable, seed: number): Set<number> {
  const random = seededRandom(seed * 7919);
  const rows = new Set<number>();
  for (const group of table.groups) {
    for (let index = 0; index < group.count; index++) {
      if (random() > 0.35) continue;
      const more = new Set([...rows, group.firstRow + index]);
      const { refusals, alsoRows } = removalOf(graph, table, more);
      for (const row of alsoRows) more.add(row);
      if (refusals.length === 0 || removalOf(graph, table, more).refusals.length === 0) for (const row of more) rows.add(row);
    }
  }
  return rows;
}

describe('surgery: what is removed is really gone, and nothing else changed', () => {
  let engine: Engine;
  before(async () => (engine = await createEngine('auto', { threads: 1 })));

  it(`${networks} random networks without random particles equal the originals in which nobody hears them`, async function () {
    this.timeout(120_000);
    let removedInAll = 0;
    for (let seed = 1; seed <= networks; seed++) {
      const graph = await randomNetwork(seed);
      const table = decompose(graph);
      const rows = randomRows(graph, table, seed);
      if (rows.size === 0) continue;
      removedInAll += rows.size;
      const { removed } = removalOf(graph, table, rows);
      const operated = await removeAxes(graph, removed);
      const [small, masked, whole] = await Promise.all([
        outputOf(engine, operated, seed), outputOf(engine, await silence(graph, removed), seed), outputOf(engine, graph, seed),
      ]);
      assert.ok(relativeError(small, masked) <= 1e-5, `seed ${seed}: ${relativeError(small, masked)}`);
      assert.ok(relativeError(small, whole) > 1e-4, `seed ${seed}: removing particles changed nothing`);
      const after = decompose(operated);
      assert.strictEqual(after.rowCount, table.rowCount - rows.size, `seed ${seed}: particles left`);
    }
    assert.ok(removedInAll > networks * 3, `only ${removedInAll} particles removed in all`);
  });

  it('a plan that names a particle the model does not have is refused by name', async () => {
    const graph = await randomNetwork(1);
    const plan = { version: 1 as const, model: { file: 'm.onnx', sha256: '' }, steps: [{ action: 'remove' as const, particles: ['nothere/kernel:3'] }] };
    await assert.rejects(applyPlan(graph, decompose(graph), plan), /m\.onnx: nothere\/kernel:3: the model has no such particle/);
  });

  it('the output layer is refused with the reason, the rest of a plan is done', async () => {
    const graph = await randomNetwork(5);
    const table = decompose(graph);
    const last = table.groups.at(-1)!;
    const before = table.groups.at(-2)!;
    assert.match(removable(graph, table).get(last.layer)!.reason, /model's output/);
    const ids = [table.id(last.firstRow), table.id(before.firstRow + 1)];
    const plan = { version: 1 as const, model: { file: 'm.onnx', sha256: '' }, steps: [{ action: 'remove' as const, particles: ids }] };
    const operated = await applyPlan(graph, table, plan);
    assert.deepStrictEqual(operated.refusals.map(({ layer }) => layer), [last.layer]);
    const changes = shapeChanges(graph, operated.graph, table);
    const own = changes.find(({ layer }) => layer === before.layer)!;
    assert.deepStrictEqual(own.width, { before: before.count, after: before.count - 1 });
    const next = changes.find(({ layer }) => layer === last.layer)!;
    assert.deepStrictEqual(next.inputWidth, { before: before.count, after: before.count - 1 });
    assert.strictEqual(next.width!.before, next.width!.after);
  });

  it('particles tied by a sum are removed together; a plan that leaves some of them out is told which', async () => {
    for (let seed = 1; seed < 200; seed++) {
      const graph = await randomNetwork(seed);
      const table = decompose(graph);
      const tied = couplingGroups(graph, table).groups.find(({ members, stays }) => members.length > 1 && stays === undefined);
      if (!tied) continue;
      const [bundle] = tied.bundles;
      const whole = bundle!.rows.map((row) => table.id(row));
      assert.deepStrictEqual(closeOver(graph, table, [bundle!.rows[0]!]), bundle!.rows);
      const planOf = (particles: string[]) => ({ version: 1 as const, model: { file: 'm.onnx', sha256: '' }, steps: [{ action: 'remove' as const, particles }] });
      assert.deepStrictEqual((await applyPlan(graph, table, planOf(whole))).refusals, []);
      const part = await applyPlan(graph, table, planOf(whole.slice(0, 1)));
      assert.strictEqual(part.graph, graph);
      assert.ok(part.refusals[0]!.reason.endsWith(`so that the plan has to name ${whole[1]} too`), part.refusals[0]!.reason);
      return;
    }
    assert.fail('no network with a sum among 200');
  });
});
