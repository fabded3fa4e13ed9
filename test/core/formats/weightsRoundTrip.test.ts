import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openZip } from '../../../src/core/formats/containers/zip';
import { formatById, openModel } from '../../../src/core/formats/registry';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { Tensor } from '../../../src/core/graph/tensor';
import { sliceTensor } from '../../../src/core/optimise/removeAxes';
import { bytesOfSaved, fixture, memoryFiles, MemoryFile } from './memoryFiles';

/** Files, the tensor that loses its last row, and the name that the copy gets. */
const cases: readonly { readonly file: string; readonly tensor: string; readonly gone?: string; readonly as: string }[] = [
  { file: 'pytorch/zoo.pt', tensor: 'head.weight', gone: 'head.bias', as: 'small.pt' },
  { file: 'pytorch/zoo-legacy.pth', tensor: 'features.0.weight', gone: 'line.bias', as: 'small.pth' },
  { file: 'pytorch/zoo-deflated.pt', tensor: 'lstm.weight_ih_l0', as: 'small.pt' },
  { file: 'pytorch/checkpoint.ckpt', tensor: 'module.fc.weight', as: 'small.ckpt' },
  { file: 'pytorch/views.pt', tensor: 'columns.weight', as: 'small.pt' },
  { file: 'pytorch/views-legacy.pt', tensor: 'transposed.weight', as: 'small.pt' },
  { file: 'pytorch/dtypes.pt', tensor: 'float8_e4m3fn', as: 'small.pt' },
  { file: 'pytorch/big-endian.pt', tensor: 'float32.weight', as: 'small.pt' },
  { file: 'safetensors/small.safetensors', tensor: 'conv.weight', gone: 'conv.bias', as: 'small.safetensors' },
  { file: 'safetensors/dtypes.safetensors', tensor: 'float8_e5m2', as: 'small.safetensors' },
  { file: 'safetensors/model.safetensors.index.json', tensor: 'first.weight', as: 'small.safetensors.index.json' },
  { file: 'npz/weights.npz', tensor: 'fc.weight', gone: 'fc.bias', as: 'small.npz' },
  { file: 'npz/compressed.npz', tensor: 'big.weight', as: 'small.npz' },
];

const shards = Object.fromEntries(['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'].map((name) => [name, fixture(`safetensors/${name}`)]));

async function openFixture(file: string): Promise<ModelGraph> {
  return openModel(memoryFiles(path.basename(file), fixture(file), shards));
}

/** What tests change by hand here: one tensor loses its last row, another goes. */
function changed(graph: ModelGraph, tensor: string, gone: string | undefined): ModelGraph {
  const tensors = new Map(graph.tensors);
  const old = tensors.get(tensor)!;
  tensors.set(tensor, sliceTensor(old, new Map([[0, [...Array(old.shape[0]! - 1).keys()]]])));
  if (gone) assert.ok(tensors.delete(gone));
  return { ...graph, tensors };
}

async function saveAll(original: ModelGraph, graph: ModelGraph, name: string): Promise<Record<string, Uint8Array>> {
  const files = await formatById(original.format)!.save!(original, graph, name);
  const saved: Record<string, Uint8Array> = {};
  for (const file of files) saved[file.name] = await bytesOfSaved(file);
  assert.equal(files[0]!.name, name);
  return saved;
}

async function elements(tensor: Tensor): Promise<unknown> {
  const { dtype, shape, data } = await tensor.read();
  return { dtype, shape, data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex') };
}

describe('weight files are saved with other shapes', () => {
  for (const { file, tensor, gone, as } of cases) {
    it(`${file} without the last row of ${tensor}`, async () => {
      const original = await openFixture(file);
      const wanted = changed(original, tensor, gone);
      const saved = await saveAll(original, wanted, as);
      const again = await openModel(memoryFiles(as, saved[as]!, saved));
      assert.deepEqual([...again.tensors.keys()].sort(), [...wanted.tensors.keys()].sort());
      assert.equal(again.tensors.get(tensor)!.shape[0], original.tensors.get(tensor)!.shape[0]! - 1);
      for (const [name, old] of wanted.tensors) assert.deepEqual(await elements(again.tensors.get(name)!), await elements(old), name);
    });
  }

  it('an unchanged model is the same file to the byte', async () => {
    for (const { file } of cases) {
      const original = await openFixture(file);
      const name = path.basename(file);
      const saved = await saveAll(original, { ...original, tensors: new Map(original.tensors) }, name);
      if (!name.endsWith('.json')) assert.deepEqual(saved[name], fixture(file), file);
      for (const [shard, bytes] of Object.entries(shards)) if (saved[shard]) assert.deepEqual(saved[shard], bytes, shard);
    }
  });

  it('records of a PyTorch archive that nobody changed keep their bytes, storages that nobody needs go', async () => {
    const original = await openFixture('pytorch/zoo-deflated.pt');
    const saved = await saveAll(original, changed(original, 'head.weight', 'head.bias'), 'small.pt');
    const [before, after] = await Promise.all([fixture('pytorch/zoo-deflated.pt'), saved['small.pt']!].map((bytes) => openZip(new MemoryFile('zip', bytes))));
    let same = 0;
    for (const entry of before!.entries.values()) {
      const now = after!.entries.get(entry.name);
      if (!now) continue;
      const raw = await Promise.all([[before!, entry] as const, [after!, now] as const].map(async ([zip, one]) =>
        Buffer.from(await zip.source.read(await zip.dataOffset(one), one.packedBytes)).toString('hex')));
      if (raw[0] === raw[1]) same++;
    }
    assert.equal(before!.entries.size - after!.entries.size, 1, 'the record of head.bias is gone');
    assert.equal(after!.entries.size - same, 2, 'data.pkl and one record differ');
    for (const entry of after!.entries.values()) assert.equal((await after!.dataOffset(entry)) % 64, 0);
  });

  it('shards of a copy have names of their own', async () => {
    const original = await openFixture('safetensors/model.safetensors.index.json');
    const saved = await saveAll(original, changed(original, 'first.weight', 'first.bias'), 'small.safetensors.index.json');
    assert.deepEqual(Object.keys(saved).sort(), ['small-00001-of-00002.safetensors', 'small-00002-of-00002.safetensors', 'small.safetensors.index.json']);
    const index = JSON.parse(Buffer.from(saved['small.safetensors.index.json']!).toString()) as { metadata: unknown; weight_map: unknown };
    assert.deepEqual(index, {
      metadata: { total_size: 2 * 4 * 4 + 2 * 3 * 4 },
      weight_map: { 'first.weight': 'small-00001-of-00002.safetensors', 'second.weight': 'small-00002-of-00002.safetensors' },
    });
  });

  it('names of TorchScript and GGUF say that they cannot be written', () => {
    assert.equal(formatById('torchscript')!.save, undefined);
    assert.equal(formatById('gguf')!.save, undefined);
  });
});

/** Loads the original and the copy with the format's own library and prints what differs, one line a tensor or value. */
const compare = `
import sys, json, warnings
warnings.filterwarnings('ignore')
import numpy as np
def load(path, safe):
    if path.endswith('.npz'): return dict(np.load(path, allow_pickle=True))
    if path.endswith('.json'):
        import os
        index = json.load(open(path)); out = {}
        for shard in set(index['weight_map'].values()): out.update(load(os.path.join(os.path.dirname(path), shard), safe))
        return out
    if path.endswith('.safetensors'):
        from safetensors.torch import load_file
        return load_file(path)
    import torch
    return torch.load(path, map_location='cpu', weights_only=safe)
lines = []
def array(value):
    if isinstance(value, np.ndarray): return value
    import torch
    if not torch.is_tensor(value): return None
    value = value.detach()
    return value.float().numpy() if 'float8' in str(value.dtype) or value.dtype == torch.bfloat16 else value.numpy()
def walk(a, b, at):
    left = array(a)
    if left is not None:
        right = array(b)
        if left.dtype == object: return
        if left.shape != right.shape: lines.append('%s %s %s' % (at, list(right.shape), np.array_equal(left[:-1], right, equal_nan=left.dtype.kind in 'fc')))
        elif str(getattr(a, 'dtype', '')) != str(getattr(b, 'dtype', '')) or not np.array_equal(left, right, equal_nan=left.dtype.kind in 'fc'): lines.append(at + ' differs')
    elif isinstance(a, dict):
        for key in a:
            if key not in b: lines.append('%s/%s gone' % (at, key))
            else: walk(a[key], b[key], '%s/%s' % (at, key))
    elif a != b or type(a) != type(b): lines.append('%s: %r, not %r' % (at, b, a))
walk(load(sys.argv[1], False), load(sys.argv[2], True), '')
print(json.dumps(lines))
`;

describe('saved weight files load in their own libraries', function () {
  this.timeout(120_000);
  const python = process.env.PARTICLIZE_PYTHON;
  for (const { file, tensor, gone, as } of cases) {
    it(`${file} without the last row of ${tensor} (wants PARTICLIZE_PYTHON)`, async function () {
      if (!python) this.skip();
      const folder = mkdtempSync(path.join(tmpdir(), 'particlize-round-'));
      try {
        const original = await openFixture(file);
        const saved = await saveAll(original, changed(original, tensor, gone), as);
        mkdirSync(path.join(folder, 'new'));
        for (const [name, bytes] of Object.entries({ ...shards, [path.basename(file)]: fixture(file) })) writeFileSync(path.join(folder, name), bytes);
        for (const [name, bytes] of Object.entries(saved)) writeFileSync(path.join(folder, 'new', name), bytes);
        const lines = JSON.parse(execFileSync(python, ['-c', compare, path.join(folder, path.basename(file)), path.join(folder, 'new', as)]).toString()) as string[];
        const shape = original.tensors.get(tensor)!.shape;
        const at = file.includes('checkpoint') ? '/state_dict/' : '/';
        assert.deepEqual(lines.sort(), [
          `${at}${tensor} [${[shape[0]! - 1, ...shape.slice(1)].join(', ')}] True`,
          ...(gone ? [`${at}${gone} gone`] : []),
          ...(file.includes('checkpoint') ? ['/args gone'] : []),
        ].sort());
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }
});
