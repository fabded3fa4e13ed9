import assert from 'node:assert/strict';
import { modelCost } from '../../../src/core/evaluate/cost';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { closeOver, couplingGroups, type CouplingGroup } from '../../../src/core/optimise/groups';
import { applyPlan } from '../../../src/core/optimise/surgery';
import { decompose } from '../../../src/core/particles/decompose';
import { cascadedConcat, mobileNetV1, resnet18 } from '../support/knownNetworks';

/** Takes out every second unit of removal of every group that may shrink. */
async function halved(graph: ModelGraph): Promise<ModelGraph> {
  const table = decompose(graph);
  const rows = couplingGroups(graph, table).groups.filter(({ stays }) => stays === undefined)
    .flatMap(({ bundles }) => bundles.filter((_, index) => index % 2 === 1).flatMap((bundle) => bundle.rows));
  const plan = { version: 1 as const, model: { file: 'm', sha256: '' }, steps: [{ action: 'remove' as const, particles: rows.map((row) => table.id(row)) }] };
  const operated = await applyPlan(graph, table, plan);
  assert.deepEqual(operated.refusals, []);
  return operated.graph;
}

/** What training could change: PyTorch counts running statistics as buffers. */
function trainable(graph: ModelGraph): number {
  const statistics = [...graph.tensors.values()].filter(({ name }) => /\.running_(mean|var)$/.test(name));
  return modelCost(graph).parameters - statistics.reduce((sum, { shape }) => sum + shape[0]!, 0);
}

describe('coupling groups', () => {
  let groups: readonly CouplingGroup[];
  let graph: ModelGraph;
  before(async () => {
    graph = await resnet18();
    groups = couplingGroups(graph, decompose(graph)).groups;
  });

  it('of ResNet-18 are the 12 that Torch-Pruning finds, of the same sizes', () => {
    // It counts every operator through which a group runs once: those that make or pass on its channels, and those that read them.
    const free = groups.filter(({ stays }) => stays === undefined);
    assert.deepEqual(free.map(({ operators }) => operators.length).sort((one, two) => two - one), [16, 14, 13, 13, 4, 4, 4, 4, 4, 4, 4, 4]);
    assert.deepEqual(free.map(({ bundles }) => bundles.length), [64, 64, 64, 128, 128, 128, 256, 256, 256, 512, 512, 512]);
    assert.match(groups.find(({ stays }) => stays !== undefined)!.stays!, /model's output/);
  });

  it('say in words what ties their layers', () => {
    const stage = groups.find(({ members }) => members.some(({ layer }) => layer === 'layer2.0.conv2'))!;
    assert.deepEqual(stage.members.map(({ layer }) => layer), ['layer2.0.conv2', 'layer2.0.downsample.0', 'layer2.1.conv2']);
    assert.equal(stage.reason, 'these 3 layers lose the same channels because of the sum layer2.0.add, the sum layer2.1.add');
    const inner = groups.find(({ members }) => members[0]!.layer === 'layer3.1.conv1')!;
    assert.equal(inner.reason, 'each kernel of layer3.1.conv1 can go by itself');
    assert.deepEqual(inner.operators.map(({ role }) => role), ['makes', 'passes', 'passes', 'reads']);
  });

  it('halved leave ResNet-18 3.055880 of 11.689512 million parameters', async () => {
    assert.equal(trainable(graph), 11_689_512);
    assert.equal(trainable(await halved(graph)), 3_055_880);
  });

  it('of cascaded concatenations stay apart: halved to 5, 10, 15 and 30', async () => {
    const small = await halved(await cascadedConcat(10));
    const left = ['block1.0', 'block2.0', 'block3.0', 'block4.0'].map((layer) => small.tensors.get(`${layer}.weight`)!.shape[0]);
    assert.deepEqual(left, [5, 10, 15, 30]);
    assert.equal(small.tensors.get('output.weight')!.shape[1], 60);
  });

  it('of MobileNetV1 take depthwise kernels along', async () => {
    const mobile = await mobileNetV1();
    const table = decompose(mobile);
    const coupling = couplingGroups(mobile, table);
    const free = coupling.groups.filter(({ stays }) => stays === undefined);
    assert.equal(free.length, 14);
    assert.equal(free[0]!.reason, 'these 2 layers lose the same channels because of the depthwise convolution block1.depthwise');
    const { firstRow } = table.group('conv1')!;
    assert.deepEqual(closeOver(mobile, table, [firstRow + 3]).map((row) => table.id(row)), ['conv1/kernel:3', 'block1.depthwise/kernel:3']);
    assert.deepEqual(coupling.bundleOf(firstRow + 3).rows, closeOver(mobile, table, [firstRow + 3]));
  });
});
