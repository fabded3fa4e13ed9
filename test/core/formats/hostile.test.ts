import assert from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { deflateSync, strToU8, zipSync } from 'fflate';
import { fileSetOf } from '../../../src/compute/files';
import { openModel } from '../../../src/core/formats/registry';
import { ParticlizeError } from '../../../src/core/graph/errors';
import { decompose } from '../../../src/core/particles/decompose';
import { fixture, memoryFiles } from './memoryFiles';

/** Opens and reads everything: a graph, or exactly one ParticlizeError. Anything else fails the test. */
async function outcome(name: string, bytes: Uint8Array, others?: Record<string, Uint8Array>): Promise<string> {
  try {
    const graph = await openModel(memoryFiles(name, bytes, others));
    decompose(graph);
    for (const tensor of graph.tensors.values()) {
      await tensor.read().catch((error: unknown) => {
        if (!(error instanceof ParticlizeError)) throw error;
      });
    }
    return 'opened';
  } catch (error) {
    if (!(error instanceof ParticlizeError)) throw error;
    return error.message;
  }
}

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const zipOf = (pickle: Uint8Array): Uint8Array => zipSync({ 'a/data.pkl': [pickle, { level: 0 }], 'a/version': [strToU8('3\n'), { level: 0 }] });

describe('hostile pickles', () => {
  const calls: Record<string, Uint8Array> = {
    'os.system': ascii('cos\nsystem\n(S\'echo hi\'\ntR.'),
    'posix.system': ascii('\x80\x02cposix\nsystem\nX\x02\0\0\0hi\x85R.'),
    'builtins.eval': ascii('\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.'),
    '__builtin__.getattr': ascii('\x80\x02c__builtin__\ngetattr\n.'),
    'torch.load': ascii('\x80\x02ctorch\nload\n.'),
    'torch.hub.load': ascii('\x80\x02ctorch.hub\nload\n.'),
    'subprocess.Popen': ascii('(isubprocess\nPopen\n.'),
    'nt.system': ascii('\x80\x02(cnt\nsystem\nX\x02\0\0\0hio.'),
    'collections.OrderedDict.__class__': ascii('\x80\x04\x8c\x0bcollections\x8c\x15OrderedDict.__class__\x93.'),
  };
  for (const [name, pickle] of Object.entries(calls)) {
    it(`${name} is refused by its name, raw and in an archive`, async () => {
      const sentence = `the file refers to ${name}, which is code and not data: Particlize does not run it. Save the weights alone: torch.save(model.state_dict(), path).`;
      assert.equal(await outcome('m.pt', pickle), `m.pt: ${sentence}`);
      assert.equal(await outcome('m.pt', zipOf(pickle)), `m.pt: a/data.pkl: ${sentence}`);
    });
  }

  it('a name inside a persistent id is refused too', async () => {
    const pickle = ascii('\x80\x02(X\x07\0\0\0storagecposix\nsystem\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ.');
    assert.match(await outcome('m.pt', zipOf(pickle)), /refers to posix\.system/);
  });

  const broken: Record<string, [string, RegExp]> = {
    'a memo that was never stored': ['\x80\x02h\x05.', /recalls value 5/],
    'an empty stack': ['\x80\x02R.', /a value that is not there/],
    'no mark': ['\x80\x02K\x01t.', /a group that was not begun/],
    'a value below the mark': ['\x80\x02K\x01(\x86.', /a value that is not there/],
    'a string of 4 GB': ['\x80\x02X\xff\xff\xff\xff.', /cut off/],
    'a string of 2^60 bytes': ['\x80\x04\x8d\0\0\0\0\0\0\0\x10.', /cut off/],
    'an integer of 2 GB': ['\x80\x02\x8b\xff\xff\xff\x7f.', /integer of 2147483647 bytes/],
    'no end': ['\x80\x02}', /cut off/],
    'an unknown operation': ['\x80\x02\xff.', /no pickle operation/],
    'the call of a list': ['\x80\x02]]R.', /something that has no name/],
    'a state for a number': ['\x80\x02K\x01}b.', /no object/],
    'protocol 9': ['\x80\x09}.', /protocol is newer/],
  };
  for (const [name, [pickle, reason]] of Object.entries(broken)) {
    it(name, async () => assert.match(await outcome('m.pt', zipOf(ascii(pickle))), reason));
  }

  it('lists that hold themselves, and 2^100 tuples in 100 bytes, end', async () => {
    const circle = ascii('\x80\x02]q\0h\0a.');
    const bomb = ascii(`\x80\x02)${'2\x86'.repeat(100)}.`);
    assert.match(await outcome('m.pt', zipOf(circle)), /no tensors/);
    assert.match(await outcome('m.pt', zipOf(bomb)), /no tensors|nested more than/);
  });

  it('10 000 lists in one another are refused without recursion', async () => {
    const deep = ascii(`\x80\x02${']'.repeat(10_000)}${'a'.repeat(9_999)}.`);
    assert.match(await outcome('m.pt', zipOf(deep)), /nested more than 100 deep/);
  });

  it('five million empty dicts are too many', async function () {
    this.timeout(20_000);
    const many = new Uint8Array(5_000_004).fill(0x7d);
    many.set([0x80, 2, 0x28]);
    assert.match(await outcome('m.pt', zipOf(many)), /more than 4000000 steps/);
  });

  it('keys called __proto__ are only names', async () => {
    assert.match(await outcome('m.pt', zipOf(ascii('\x80\x02}X\x09\0\0\0__proto__}s.'))), /no tensors/);
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  });
});

describe('hostile tensors', () => {
  /** A state dict of one float32 tensor 'w' over a storage of 8 bytes. */
  const tensorFile = (offset: string, size: string, stride: string, numel = 'K\x02'): Uint8Array => zipSync({
    'a/data.pkl': [ascii(`\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu${numel}tQ${offset}${size}${stride}\x89}tRs.`), { level: 0 }],
    'a/data/0': [new Uint8Array(8), { level: 0 }],
  });
  const one = '\x85';
  const huge = '\x8a\x08\0\0\0\0\0\0\0\x10'; // 2^60

  it('an honest one opens', async () => assert.equal(await outcome('m.pt', tensorFile('K\0', `K\x02${one}`, `K\x01${one}`)), 'opened'));
  it('2^60 elements', async () => assert.match(await outcome('m.pt', tensorFile('K\0', `${huge}${one}`, `K\x01${one}`)), /impossible/));
  it('2^60 elements of a storage that says so too', async () =>
    assert.match(await outcome('m.pt', tensorFile('K\0', `${huge}${one}`, `K\x01${one}`, huge)), /impossible/));
  it('2^40 elements by a stride of zero open, and reading them is refused', async () => {
    const files = memoryFiles('m.pt', tensorFile('K\0', `\x8a\x06\0\0\0\0\0\x01${one}`, `K\0${one}`));
    const graph = await openModel(files);
    await assert.rejects(graph.tensors.get('w')!.read(), /do not fit into memory/);
  });
  it('an offset behind the storage', async () => assert.match(await outcome('m.pt', tensorFile('K\x09', `K\x02${one}`, `K\x01${one}`)), /tensor w: it needs 44 bytes of its storage 0, which has 8/));
  it('a negative stride', async () => assert.match(await outcome('m.pt', tensorFile('K\x01', `K\x02${one}`, `J\xff\xff\xff\xff${one}`)), /impossible/));
  it('a stride of 2^60', async () => assert.match(await outcome('m.pt', tensorFile('K\0', `K\x02${one}`, `${huge}${one}`)), /impossible|lead out/));
  it('more strides than sizes', async () => assert.match(await outcome('m.pt', tensorFile('K\0', `K\x02${one}`, 'K\x01K\x01\x86')), /impossible/));
  it('NaN and infinite weights are weights', async () => assert.equal(await outcome('dtypes.pt', fixture('pytorch/dtypes.pt')), 'opened'));
});

describe('hostile zip archives', () => {
  const directory = (bytes: Uint8Array): DataView => {
    const view = new DataView(bytes.buffer);
    let at = bytes.length - 22;
    while (view.getUint32(at, true) !== 0x06054b50) at--;
    return new DataView(bytes.buffer, view.getUint32(at + 16, true));
  };
  const pickle = ascii('\x80\x02}.');

  it('a small entry that claims 4 GB is refused before memory is taken', async () => {
    const bytes = zipSync({ 'a/data.pkl': [new Uint8Array(1000), { level: 9 }] });
    directory(bytes).setUint32(24, 0xfffffff0, true);
    assert.match(await outcome('m.pt', bytes), /4294967280 bytes are more than Particlize unpacks/);
  });
  it('an entry that claims more than compression can give', async () => {
    const bytes = zipSync({ 'a/data.pkl': [new Uint8Array(1000), { level: 9 }] });
    directory(bytes).setUint32(24, 400_000_000, true);
    assert.match(await outcome('m.pt', bytes), /cannot unpack to 400000000/);
  });
  it('a bomb that unpacks to more than it claims', async () => {
    const bytes = zipSync({ 'a/data.pkl': [new Uint8Array(50_000_000), { level: 9 }] });
    directory(bytes).setUint32(24, 100, true);
    assert.match(await outcome('m.pt', bytes), /more than the 100 bytes that it claims/);
  });
  it('an entry that unpacks to less than it claims', async () => {
    const bytes = zipSync({ 'a/data.pkl': [pickle, { level: 9 }] });
    directory(bytes).setUint32(24, 50, true);
    assert.match(await outcome('m.pt', bytes), /unpacks to|damaged/);
  });
  it('a stored entry with two sizes', async () => {
    const bytes = zipOf(pickle);
    directory(bytes).setUint32(24, 50, true);
    assert.match(await outcome('m.pt', bytes), /its sizes differ/);
  });
  it('an entry outside the file', async () => {
    const bytes = zipOf(pickle);
    directory(bytes).setUint32(42, 0x7fffffff, true);
    assert.match(await outcome('m.pt', bytes), /lies outside the file/);
  });
  it('an unknown compression', async () => {
    const bytes = zipOf(pickle);
    directory(bytes).setUint16(10, 12, true);
    assert.match(await outcome('m.pt', bytes), /method 12/);
  });
  it('an encrypted entry', async () => {
    const bytes = zipOf(pickle);
    directory(bytes).setUint16(8, 1, true);
    assert.match(await outcome('m.pt', bytes), /encrypted/);
  });
  it('65 000 entries where there are two', async () => {
    const bytes = zipOf(pickle);
    new DataView(bytes.buffer).setUint16(bytes.length - 12, 65_000, true);
    assert.match(await outcome('m.pt', bytes), /cannot list 65000 entries/);
  });
  it('no directory', async () => assert.match(await outcome('m.pt', zipOf(pickle).slice(0, -30)), /directory that ends a zip archive is missing/));
  it('damaged compression', async () => {
    const bytes = zipSync({ 'a/data.pkl': [deflateSync(new Uint8Array(5000).map((_, index) => (index * 7919) >> 3)), { level: 9 }] });
    bytes.fill(0xff, 45, 60);
    assert.match(await outcome('m.pt', bytes), /damaged|unpacks/);
  });
});

describe('hostile safetensors, GGUF and npz', () => {
  const safe = (header: unknown, data = 8, claimed?: bigint): Uint8Array => {
    const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
    const bytes = new Uint8Array(8 + text.length + data);
    new DataView(bytes.buffer).setBigUint64(0, claimed ?? BigInt(text.length), true);
    bytes.set(text, 8);
    return bytes;
  };
  const entry = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };
  const cases: [string, Uint8Array, RegExp][] = [
    ['a header of 2^63 bytes', safe({}, 8, 2n ** 63n), /a header of .* bytes cannot be/],
    ['a header longer than the file', safe({}, 8, 5000n), /said to be 5000 bytes long/],
    ['a header that is no JSON', safe('{"w":'), /not valid JSON/],
    ['2^60 elements', safe({ w: { ...entry, shape: [2 ** 60] } }), /tensor w: its shape .* impossible/],
    ['2^40 by 2^40 elements', safe({ w: { ...entry, shape: [2 ** 40, 2 ** 40] } }), /impossibly large/],
    ['a negative size', safe({ w: { ...entry, shape: [-2] } }), /impossible/],
    ['sizes that do not fit', safe({ w: { ...entry, shape: [3] } }), /8 bytes do not make F32 of shape \[3\]/],
    ['bytes behind the end', safe({ w: { ...entry, data_offsets: [8, 16] } }), /it ends at byte/],
    ['an end before its beginning', safe({ w: { ...entry, data_offsets: [8, 0] } }), /place \[8, 0\] is impossible/],
    ['overlapping tensors', safe({ w: entry, v: { ...entry, data_offsets: [4, 12] } }, 12), /tensor v: its bytes overlap/],
    ['no tensors', safe({ __metadata__: {} }), /no tensors/],
    ['a list', safe('[1]'), /not valid JSON/],
  ];
  for (const [name, bytes, reason] of cases) it(`safetensors: ${name}`, async () => assert.match(await outcome('m.safetensors', bytes), reason));

  it('a shard outside the folder', async () => {
    const index = ascii(JSON.stringify({ weight_map: { w: '../secret.safetensors' } }));
    assert.match(await outcome('m.safetensors.index.json', index, { '../secret.safetensors': safe({ w: entry }) }), /leads out of the model's folder/);
  });
  it('a tensor in two shards', async () => {
    const index = ascii(JSON.stringify({ weight_map: { w: 'a.safetensors', v: 'b.safetensors' } }));
    assert.match(await outcome('m.safetensors.index.json', index, { 'a.safetensors': safe({ w: entry }), 'b.safetensors': safe({ w: entry }) }), /tensor w: it is in/);
  });

  const gguf = (...numbers: [number, number | bigint][]): Uint8Array => {
    const bytes = fixture('gguf/quantised.gguf');
    const view = new DataView(bytes.buffer);
    for (const [at, value] of numbers) {
      if (typeof value === 'bigint') view.setBigUint64(at, value, true);
      else view.setUint32(at, value, true);
    }
    return bytes;
  };
  it('GGUF: version 9', async () => assert.match(await outcome('m.gguf', gguf([4, 9])), /version 9/));
  it('GGUF: 2^60 tensors', async () => assert.match(await outcome('m.gguf', gguf([8, 2n ** 60n])), /more than the file can hold/));
  it('GGUF: 2^60 metadata values', async () => assert.match(await outcome('m.gguf', gguf([16, 2n ** 60n])), /more than the file can hold/));
  it('GGUF: a key of 2^60 bytes', async () => assert.match(await outcome('m.gguf', gguf([24, 2n ** 60n])), /are wanted, but/));

  it('npz: a header that claims 2^60 elements', async () => {
    const npy = ascii('\x93NUMPY\x01\0\x50\0{\'descr\': \'<f4\', \'fortran_order\': False, \'shape\': (1152921504606846976,), }'.padEnd(90) + '\n');
    assert.match(await outcome('m.npz', zipSync({ 'w.npy': npy })), /impossible/);
  });
  it('npz: elements that are not there', async () => {
    const npy = ascii('\x93NUMPY\x01\0\x50\0{\'descr\': \'<f4\', \'fortran_order\': False, \'shape\': (1000,), }'.padEnd(90) + '\n');
    assert.match(await outcome('m.npz', zipSync({ 'w.npy': npy })), /do not hold <f4 of shape \[1000\]/);
  });
});

describe('empty files and folders', () => {
  const names = ['m.pt', 'm.pth', 'm.safetensors', 'm.gguf', 'm.npz', 'm.safetensors.index.json'];
  for (const name of names) it(`an empty ${name}`, async () => assert.equal(await outcome(name, new Uint8Array(0)), `${name}: the file is empty.`));
  it('a folder called model.pt', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'particlize-model.pt'));
    await assert.rejects(fileSetOf(folder), { name: 'ParticlizeError', message: /this is a folder, not a file/ });
    rmSync(folder, { recursive: true });
  });
});

/** mulberry32: a small generator with a seed, so that a failure can be run again. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('damaged weight files', function () {
  this.timeout(60_000);
  const files = [
    'pytorch/zoo.pt', 'pytorch/zoo-legacy.pth', 'pytorch/zoo-deflated.pt', 'pytorch/checkpoint.ckpt', 'pytorch/views-legacy.pt', 'pytorch/scripted.pt',
    'safetensors/small.safetensors', 'safetensors/model.safetensors.index.json', 'gguf/quantised.gguf', 'npz/weights.npz', 'npz/compressed.npz',
  ];
  for (const file of files) {
    const name = path.basename(file);
    const whole = fixture(file);
    const others = Object.fromEntries(['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'].map((shard) => [shard, fixture(`safetensors/${shard}`)]));

    it(`${name}, cut off at 60 places`, async () => {
      const random = randomOf(7);
      for (let k = 0; k < 60; k++) {
        const length = k < 20 ? k : Math.floor(random() * whole.length);
        assert.notEqual(await outcome(name, whole.slice(0, length), others), 'opened', `cut at ${length}`);
      }
    });

    it(`${name}, 500 times with bits turned over`, async () => {
      const random = randomOf(11);
      for (let k = 0; k < 500; k++) {
        const bytes = whole.slice();
        // Headers are where a wrong bit hurts: half of the bits are turned there.
        const range = k % 2 ? Math.min(600, bytes.length) : bytes.length;
        for (let bit = 0; bit <= k % 4; bit++) bytes[Math.floor(random() * range)]! ^= 1 << Math.floor(random() * 8);
        await outcome(name, bytes, others);
      }
    });
  }
});
