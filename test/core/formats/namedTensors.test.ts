import assert from 'node:assert';
import { attributeFamilies } from '../../../src/core/attributes/registry';
import { namedTensorGraph } from '../../../src/core/formats/namedTensors';
import { openModel } from '../../../src/core/formats/registry';
import { hasWeightsOnly } from '../../../src/core/graph/ops/weightsOnly';
import { asFloat32, float32Array } from '../../../src/core/graph/numeric';
import { tensorOf } from '../../../src/core/graph/tensor';
import { removable } from '../../../src/core/optimise/removal';
import { decompose } from '../../../src/core/particles/decompose';
import { fixture, memoryFiles } from './memoryFiles';

async function layersOf(shapes: Record<string, number[]>): Promise<Record<string, string>> {
  const tensors = Object.entries(shapes).map(([name, shape]) => tensorOf(name, float32Array(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape)));
  const graph = await namedTensorGraph({ format: 'test', producer: 'test', tensors, findings: [], origin: undefined });
  const table = decompose(graph);
  return Object.fromEntries(graph.layers.map(({ name, type }) => {
    const group = table.group(name);
    return [name, group ? `${type}, ${group.count} ${group.kind}s of ${group.slices.map(({ tensor, axis }) => `${tensor}@${axis}`).join(' ')}` : type];
  }));
}

describe('weights without a graph', () => {
  it('layers are told from names and shapes', async () => {
    assert.deepEqual(await layersOf({
      'module.h.0.c_fc.weight': [4, 16], 'module.h.0.c_fc.bias': [16],
      'module.up.weight': [6, 4, 2, 2], 'module.up.bias': [4],
      'module.wte.weight': [9, 4], 'module.embed_out.weight': [9, 4],
      'module.ln_f.weight': [4], 'module.ln_f.bias': [4],
      'module.bn.weight': [4], 'module.bn.running_mean': [4], 'module.bn.num_batches_tracked': [],
      'module.cls_token': [1, 1, 4], 'module.scale': [1],
    }), {
      'h.0.c_fc': 'Linear, 16 neurons of module.h.0.c_fc.weight@1 module.h.0.c_fc.bias@0',
      up: 'ConvTranspose2d, 4 kernels of module.up.weight@1 module.up.bias@0',
      wte: 'Embedding, 4 factors of module.wte.weight@1',
      embed_out: 'Linear, 9 neurons of module.embed_out.weight@0',
      ln_f: 'LayerNorm', bn: 'BatchNorm', cls_token: 'Parameter', scale: 'Parameter',
    });
    assert.deepEqual(await layersOf({ 'params/conv/kernel': [3, 3, 2, 5], 'params/conv/bias': [5], fc1_w: [3, 4], fc1_b: [3] }), {
      'params/conv': 'Conv2d, 5 kernels of params/conv/kernel@3 params/conv/bias@0',
      fc1: 'Linear, 3 neurons of fc1_w@0 fc1_b@0',
    });
  });

  it('units of a recurrent layer own their gates, recurrent rows and column', async () => {
    const graph = await openModel(memoryFiles('zoo.pt', fixture('pytorch/zoo.pt')));
    const lstm = decompose(graph).groups.filter(({ layer }) => layer.startsWith('lstm'));
    assert.equal(lstm.length, 4, 'two layers in two directions');
    assert.deepEqual(lstm[0]!.slices, [
      { tensor: 'lstm.weight_ih_l0', axis: 0, role: 'weight', every: 4 },
      { tensor: 'lstm.weight_hh_l0', axis: 0, role: 'recurrent', every: 4 },
      { tensor: 'lstm.weight_hh_l0', axis: 1, role: 'recurrent' },
      { tensor: 'lstm.bias_ih_l0', axis: 0, role: 'bias', every: 4 },
      { tensor: 'lstm.bias_hh_l0', axis: 0, role: 'bias', every: 4 },
    ]);
  });

  it('columns from weights are those of the weights', async () => {
    const graph = await openModel(memoryFiles('zoo.pt', fixture('pytorch/zoo.pt')));
    const table = decompose(graph);
    for (const family of attributeFamilies) {
      const columns = await family.compute(graph, table);
      family.columns.forEach((info, index) => {
        if (info.name !== 'l1') return;
        table.add({ ...info, provenance: { source: 'weights', exact: true }, values: columns[index]! });
      });
    }
    const values = asFloat32(await graph.tensors.get('head.weight')!.read());
    const row = table.row('head/neuron:2')!;
    const expected = values.slice(2 * 6, 3 * 6).reduce((sum, value) => sum + Math.abs(value), 0);
    assert.ok(Math.abs(table.column('l1')!.values[row]! - expected) < 1e-5);
    for (const group of table.groups) assert.ok(table.column('l1')!.values[group.firstRow]! > 0, group.layer);
  });

  it('nothing can be removed, and the reason is the missing graph', async () => {
    const graph = await openModel(memoryFiles('zoo.pt', fixture('pytorch/zoo.pt')));
    assert.ok(hasWeightsOnly(graph));
    assert.ok(graph.findings.some(({ message }) => message.startsWith('the file has weights but no graph')));
    for (const [layer, refusal] of removable(graph, decompose(graph))) assert.match(refusal!.reason, /weights but no graph/, layer);
  });

  it('opening reads headers, not weights', async () => {
    const header = new TextEncoder().encode(JSON.stringify({ 'big.weight': { dtype: 'F32', shape: [1000, 5000], data_offsets: [0, 20_000_000] } }));
    const bytes = new Uint8Array(8 + header.length + 20_000_000);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
    bytes.set(header, 8);
    const files = memoryFiles('big.safetensors', bytes);
    await openModel(files);
    assert.ok(files.main.bytesRead < 10_000, `${files.main.bytesRead} bytes read`);
  });
});
