import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { zipSync } from 'fflate';
import { openDataFile } from '../../../src/core/data/dataFormats';
import { asNumbers } from '../../../src/core/graph/numeric';
import { fixtureFolder, memorySource } from '../support/memoryFiles';

const folder = path.join(fixtureFolder, 'data');
const expected = JSON.parse(fs.readFileSync(path.join(folder, 'expected.json'), 'utf8')) as Record<string, { shape: number[]; values: unknown[] }>;
const budget = 2 ** 26;

describe('data files', () => {
  describe('NumPy arrays hold what NumPy wrote', () => {
    for (const [name, { shape, values }] of Object.entries(expected)) {
      it(name, async () => {
        const single = name === 'single';
        const file = await openDataFile(fixture(single ? 'single.npy' : 'arrays.npz'), budget);
        const array = await file.array(single ? '' : name);
        assert.deepEqual(array.shape, shape);
        const numbers = asNumbers(await array.rows(0, shape[0]!));
        const read = array.categories ? numbers.map((index) => array.categories![index]) : numbers;
        assert.deepEqual(read, values.map((value) => (typeof value === 'boolean' ? Number(value) : value)));
        if (shape.length > 1 && shape[0]! > 1) {
          const second = asNumbers(await array.rows(1, 2));
          assert.deepEqual(second, values.slice(values.length / shape[0]!, 2 * values.length / shape[0]!));
        }
      });
    }
  });

  it('an .npy is read by rows, not whole', async () => {
    const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000, 1000), }".padEnd(117) + '\n';
    const bytes = Buffer.concat([Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, header.length, 0]), Buffer.from(header), Buffer.alloc(4_000_000)]);
    const source = memorySource('large.npy', bytes);
    const array = await (await openDataFile(source, budget)).array('');
    await array.rows(10, 12);
    assert.ok(source.bytesRead < 10_000, `${source.bytesRead} bytes were read`);
  });

  it('IDX, plain and gzipped, big-endian', async () => {
    const bytes = Buffer.from([0, 0, 0x0b, 2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 0, 2, 255, 255, 1, 0, 0, 5, 0, 6]);
    for (const [name, content] of [['a-idx2-short', bytes], ['a-idx2-short.gz', zlib.gzipSync(bytes)]] as const) {
      const array = await (await openDataFile(memorySource(name, content), budget)).array('');
      assert.deepEqual([array.dtype, array.shape, asNumbers(await array.rows(0, 2))], ['int16', [2, 3], [1, 2, -1, 256, 5, 6]]);
    }
  });

  it('CSV: header, quotes, text columns, ranges of columns, missing cells', async () => {
    const file = await openDataFile(memorySource('t.csv', Buffer.from('\uFEFFa,b,"the, kind",c\r\n1,2.5,dog,3\r\n-4,,"a ""cat""",6\n')), budget);
    assert.deepEqual(file.arrays, ['a', 'b', 'the, kind', 'c']);
    assert.deepEqual(asNumbers(await (await file.array('a')).rows(0, 2)), [1, -4]);
    assert.deepEqual(asNumbers(await (await file.array('b')).rows(0, 2)), [2.5, NaN]);
    const kind = await file.array('the, kind');
    assert.deepEqual([kind.categories, asNumbers(await kind.rows(0, 2))], [['a "cat"', 'dog'], [1, 0]]);
    assert.deepEqual((await file.array('a:b')).shape, [2, 2]);
    await assert.rejects(file.array('nose'), /t\.csv: it has no column 'nose'\. Its columns are a, b/);
    await assert.rejects(file.array('a:c'), /data row 0, column the, kind: 'dog' is not a number/);
    const plain = await openDataFile(memorySource('n.csv', Buffer.from('7,1,2\n8,3,4\n')), budget);
    const table = await plain.array('1:3');
    assert.deepEqual([table.shape, asNumbers(await table.rows(0, 2))], [[2, 2], [1, 2, 3, 4]]);
    await assert.rejects(openDataFile(memorySource('odd.csv', Buffer.from('a,b\n1,2\n3\n')), budget), /odd\.csv: row 3: it has 1 cells where 2 are wanted/);
  });

  describe('what is wrong is said in one sentence', () => {
    const npz = fs.readFileSync(path.join(folder, 'arrays.npz'));
    const cases: readonly (readonly [string, string, Uint8Array, RegExp])[] = [
      ['an empty file', 'a.npz', Buffer.alloc(0), /a\.npz: the file is empty/],
      ['a cut archive', 'a.npz', npz.subarray(0, 900), /a\.npz: the archive is damaged or cut off/],
      ['another kind of file', 'a.xyz', Buffer.from('nothing known'), /a\.xyz: this is not a data file that Particlize knows\. It reads NumPy archive/],
      ['a cut array', 'a.npy', fs.readFileSync(path.join(folder, 'single.npy')).subarray(0, 134), /a\.npy: the array should have 6 elements of 2 bytes, but the file has \d+ bytes/],
      ['Python objects', 'a.npy', fs.readFileSync(path.join(folder, 'objects.npy')), /a\.npy: it holds Python objects/],
      ['records', 'a.npy', fs.readFileSync(path.join(folder, 'records.npy')), /a\.npy: it holds records/],
      ['a shape beyond reason', 'a.npy', huge(), /a\.npy: the array should have/],
      ['IDX that promises more', 'a-idx1-ubyte', Buffer.from([0, 0, 8, 1, 255, 255, 255, 255, 1]), /its header promises 4294967303 bytes, but there are 9/],
      ['cut gzip', 'a-idx1-ubyte.gz', zlib.gzipSync(Buffer.alloc(5000, 'abcdefg')).subarray(0, 30), /compressed data is damaged or cut off/],
    ];
    for (const [title, name, bytes, message] of cases) {
      it(title, async () => {
        await assert.rejects(async () => (await openDataFile(memorySource(name, bytes), budget)).array(''), message);
      });
    }

    it('small files that unpack to more than is allowed', async () => {
      const bomb = zlib.gzipSync(Buffer.alloc(2 ** 24));
      await assert.rejects(openDataFile(memorySource('a-idx3-ubyte.gz', bomb), 2 ** 20), /more than the 1 MB allowed/);
      const archive = zipSync({ 'x.npy': new Uint8Array(2 ** 24) });
      const file = await openDataFile(memorySource('a.npz', archive), 2 ** 20);
      await assert.rejects(file.array('x'), /a\.npz: x: reading it would take 16 MB, more than the 1 MB allowed/);
    });
  });
});

function fixture(name: string): ReturnType<typeof memorySource> {
  return memorySource(name, fs.readFileSync(path.join(folder, name)));
}

function huge(): Buffer {
  const header = "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999999999), }\n";
  return Buffer.concat([Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, header.length, 0]), Buffer.from(header)]);
}
