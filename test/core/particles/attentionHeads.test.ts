import assert from 'node:assert/strict';
import { consumersOf } from '../../../src/core/behaviour/consumers';
import { openContributions } from '../../../src/core/behaviour/contributions';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { asFloat32 } from '../../../src/core/graph/numeric';
import type { NdArray } from '../../../src/core/graph/tensor';
import { removeAxes } from '../../../src/core/optimise/removeAxes';
import { decompose } from '../../../src/core/particles/decompose';
import type { ParticleGroup } from '../../../src/core/particles/particle';
import { particleRemoval } from '../../../src/core/particles/particleRemoval';
import { createEngine } from '../../../src/engines/registry';
import { attentionModels, openAttentionModel } from '../support/attentionModels';
import { relativeError } from '../support/graphs';

/**
 * The slices of a head as blocks of weights: role, width, and the stride at which the pattern comes again; (2) when two
 * heads share them. One line a pattern, for all ways of exporting it.
 */
const heads: Readonly<Record<string, string>> = {
  multihead: '3: query 4/12, bias 4/12, output 4',
  multiheadWeights: '3: query 4/12, bias 4/12, output 4',
  multiheadTimeFirst: '3: query 4/12, bias 4/12, output 4',
  multiheadMask: '3: query 4/12, bias 4/12, output 4',
  multiheadCross: '3: query 4, key 4, value 4, bias 4, bias 4, bias 4, output 4',
  'multiheadCross.dynamo': '3: query 4, key 4, value 4, bias 4/12, output 4',
  encoder: '3: query 4/12, bias 4/12, output 4',
  bert: '3: query 4, key 4, value 4, bias 4, bias 4, bias 4, output 4',
  gpt2: '3: query 4/12, bias 4/12, output 4',
  vit: '3: query 4/12, bias 4/12, output 4',
  vitWritten: '3: query 4/12, bias 4/12, output 4',
  swin: '3: query 4/12, bias 1, bias 4/12, output 4',
  einsum: '3: query 4, key 4/12, output 4',
  merged: '3: query 4, key 4, value 4, output 4',
  mergedTimeFirst: '3: query 4, key 4, value 4, output 4',
  groupedExpand: '4: query 4, output 4, key 4 (2), value 4 (2)',
  groupedInterleave: '4: query 4, output 4, key 4 (2), value 4 (2)',
  groupedEnable: '4: query 4, output 4, key 4 (2), value 4 (2)',
  groupedApart: '4: query 4, output 4, key 4 (2), value 4 (2)',
  oneKey: '4: query 4, output 4, key 4 (4), value 4 (4)',
  rotaryHalf: '4: query 4, output 4, key 4 (2), value 4 (2)',
  rotaryPairs: '4: query 4, key 4, value 4, output 4',
  fusedChunk: '3: query 4/12, bias 4/12, output 4',
  fusedSlice: '3: query 4/12, bias 4/12, output 4',
  fusedInterleaved: '3: query 12, bias 12, output 4',
  sora: '3: query 4/12, bias 4/12, output 4',
  operator: '3: query 4/12, bias 4/12, output 4',
  standardFlat: '3: query 4, key 4, value 4, bias 4, bias 4, bias 4, output 4',
  standardGrouped: '4: query 4, bias 4, bias 1, output 4, key 4 (2), value 4 (2), bias 4 (2), bias 4 (2)',
  standardFour: '3: query 4, key 4, value 5, bias 4, bias 5, bias 4, output 5',
  standardFourGrouped: '4: query 4, bias 4, output 4, key 4 (2), value 4 (2), bias 4 (2), bias 4 (2)',
  standardRotary: '3: query 4, key 4, value 4, bias 4, bias 4, bias 4, output 4',
  runtimeAttention: '3: query 4/12, bias 4/12, output 4',
  runtimeAttentionBias: '3: query 4/12, bias 1, bias 4/12, output 4',
  runtimeAttentionSizes: '3: output 5',
  runtimeMultihead: '3: query 4, key 4, value 4, bias 1, bias 4/12, output 4',
  runtimeMultiheadBare: '3: query 4, key 4, value 6, output 6',
  runtimeGrouped: '4: query 8, bias 8, output 8, key 8 (2), value 8 (2), bias 8 (2), bias 8 (2)',
  runtimeGroupedPacked: '4: output 16',
  operatorGrouped: '4: query 4, output 4, key 4 (2), value 4 (2)',
};

describe('attention heads, as exporters write them', function () {
  this.timeout(20_000);
  let engine: Engine;
  before(async () => {
    engine = await createEngine('auto', { threads: 1 });
  });

  for (const name of attentionModels) {
    it(`${name}: its heads are found, and are what the output is made of`, async () => {
      const { graph, inputs, output } = await openAttentionModel(name);
      const whole = await run(engine, graph, inputs, [graph.outputs[0]!.name]);
      assert.ok(relativeError(asFloat32(whole[0]!), output) <= 1e-5, 'the engine computes what the framework does');
      const group = headsOf(graph);
      assert.equal(describeHeads(group), heads[name] ?? heads[name.split('.')[0]!]);
      await contributionsAddUp(engine, graph, group, inputs);
    });

    it(`${name}: without some heads it computes what the framework does when they are silent`, async () => {
      const { graph, inputs, output, silent } = await openAttentionModel(name);
      const table = decompose(graph);
      const group = headsOf(graph);
      for (const { heads: gone, output: expected } of silent) {
        const rows = gone.map((head) => group.firstRow + head);
        const { removed, blocked, rows: all } = particleRemoval(graph, table, rows);
        assert.deepEqual(blocked, []);
        assert.deepEqual([...all].sort((one, two) => one - two), rows, 'nothing else goes along');
        const smaller = await removeAxes(graph, removed);
        assert.deepEqual(smaller.findings.filter(({ severity }) => severity !== 'info'), []);
        const [after] = await run(engine, smaller, inputs, [smaller.outputs[0]!.name]);
        assert.ok(relativeError(asFloat32(after!), expected) <= 1e-5, `heads ${gone.join(' ')}: ${relativeError(asFloat32(after!), expected)}`);
        assert.ok(relativeError(expected, output) > 1e-4, 'silence is heard');
        const rest = headsOf(smaller);
        assert.equal(rest.count, group.count - gone.length);
        // Every projection really is smaller.
        for (const slice of group.slices) {
          const [before, now] = [graph, smaller].map((one) => one.tensors.get(slice.tensor)?.shape[slice.axis] ?? NaN);
          const left = slice.shared && rest.slices.find(({ tensor }) => tensor === slice.tensor)?.shared !== slice.shared ? before! : before! * rest.count / group.count;
          assert.equal(now, left, `${slice.tensor} along axis ${slice.axis}`);
        }
      }
    });
  }

  it('a head of a group of queries takes the group or one of each group along', async () => {
    const { graph } = await openAttentionModel('groupedExpand.script');
    const table = decompose(graph);
    const group = headsOf(graph);
    const { rows, blocked } = particleRemoval(graph, table, [group.firstRow]);
    assert.deepEqual(blocked, []);
    assert.equal(rows.size, 2);
  });
});

function headsOf(graph: ModelGraph): ParticleGroup {
  const found = decompose(graph).groups.filter(({ kind }) => kind === 'head');
  assert.equal(found.length, 1, 'one layer of heads');
  return found[0]!;
}

function describeHeads({ count, slices }: ParticleGroup): string {
  const parts = slices.map(({ role, block = 1, every, shared }) => `${role} ${block}${every ? `/${every}` : ''}${shared ? ` (${shared})` : ''}`);
  return `${count}: ${parts.join(', ')}`;
}

/** The heads' terms in the output projection and its bias are all that it gives. */
async function contributionsAddUp(engine: Engine, graph: ModelGraph, group: ParticleGroup, inputs: ReadonlyMap<string, NdArray>): Promise<void> {
  const { linear, complete } = consumersOf(graph, group);
  assert.equal(linear.length, 1, 'one output projection');
  assert.ok(complete, 'nothing else reads the heads');
  const [consumer] = linear;
  const { rule } = consumer!;
  const [x, y] = await run(engine, graph, inputs, [rule.input, rule.output]);
  const program = await openContributions(engine, graph, consumer!, group.count, 'terms');
  const terms = asFloat32(await program.run(x!, y!, Array.from({ length: group.count }, (_, head) => head)));
  await program.dispose();
  const result = asFloat32(y!);
  const bias = rule.bias ? asFloat32(await graph.tensors.get(rule.bias)!.read()) : new Float32Array(1);
  const sum = result.map((_, at) => Array.from({ length: group.count }, (__, head) => terms[head * result.length + at]!)
    .reduce((all, term) => all + term, bias[at % bias.length]!));
  assert.ok(relativeError(sum, result) <= 1e-5, `contributions: ${relativeError(sum, result)}`);
}

async function run(engine: Engine, graph: ModelGraph, inputs: ReadonlyMap<string, NdArray>, fetches: readonly string[]): Promise<NdArray[]> {
  const names = graph.inputs.map(({ name }) => name);
  const program = await engine.compile(graph, names, fetches);
  const feeds = new Map(names.map((name, place) => [name, inputs.get(name) ?? [...inputs.values()][place]!]));
  const result = await program.run(feeds);
  await program.dispose();
  return fetches.map((name) => result.get(name)!);
}
