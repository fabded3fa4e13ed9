import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { openDataFile } from '../../../src/core/data/dataFormats';
import { ParticlizeError } from '../../../src/core/graph/errors';
import { asNumbers } from '../../../src/core/graph/numeric';
import { memorySource } from '../support/memoryFiles';

const folder = path.join(__dirname, '../../fixtures/data/tables');
const budget = 2 ** 28;
type Column = readonly (number | string | null | readonly number[])[];
const expected = JSON.parse(fs.readFileSync(path.join(folder, 'expected.json'), 'utf8')) as Readonly<Record<string, Column>>;
const tables = fs.readdirSync(folder).filter((name) => name !== 'expected.json');

describe('tables as pandas and pyarrow write them', () => {
  for (const name of tables) {
    it(`${name}: every column, in any range of rows`, async () => {
      const file = await openDataFile(memorySource(name, fs.readFileSync(path.join(folder, name))), budget);
      assert.ok(file.arrays.length >= 6);
      for (const column of file.arrays.filter((known) => !(known === 'flag' && name.endsWith('csv')))) {
        const array = await file.array(column);
        assert.equal(array.shape[0], 300, column);
        for (const [from, to] of [[0, 300], [95, 205], [299, 300]] as const) {
          const numbers = asNumbers(await array.rows(from, to));
          const found = array.categories ? numbers.map((number) => array.categories![number]!) : numbers;
          const wanted = (expected[column]!.slice(from, to) as unknown[]).flat().map((value) => value ?? NaN);
          assert.equal(found.length, wanted.length);
          found.forEach((value, index) => {
            const want = wanted[index];
            assert.ok(Object.is(value, want) || Math.abs(Number(value) - Number(want)) < 1e-6, `${column}[${index}]: ${value} instead of ${String(want)}`);
          });
        }
      }
    });
  }

  it('ids are whole numbers, columns with gaps are not', async () => {
    const file = await openDataFile(memorySource('a.parquet', fs.readFileSync(path.join(folder, 'snappy.parquet'))), budget);
    assert.deepEqual([(await file.array('id')).dtype, (await file.array('gap')).dtype, (await file.array('pair')).shape], ['int32', 'float64', [300, 2]]);
  });

  it('a range of rows of one column does not read the file', async () => {
    // 40 row groups of two columns would be read whole by a reader that does not know better.
    const bytes = fs.readFileSync(path.join(folder, 'plain.parquet'));
    const source = memorySource('a.parquet', bytes);
    const file = await openDataFile(source, budget);
    const array = await file.array('pair');
    source.bytesRead = 0;
    await array.rows(250, 260);
    assert.ok(source.bytesRead > 0 && source.bytesRead < bytes.length / 4, `${source.bytesRead} of ${bytes.length} bytes`);
  });

  it('a range of columns of a CSV reads the rows asked for', async () => {
    const text = `a,b\n${Array.from({ length: 20_000 }, (_, index) => `${index},${index / 2}`).join('\n')}\n`;
    const source = memorySource('t.csv', Buffer.from(text));
    const array = await (await openDataFile(source, budget)).array('a:b');
    source.bytesRead = 0;
    assert.deepEqual(asNumbers(await array.rows(19_998, 20_000)), [19_998, 9999, 19_999, 9999.5]);
    assert.ok(source.bytesRead < 10_000, String(source.bytesRead));
  });

  it('quoted line ends and quotes at the end of a piece stay inside their cell', async () => {
    const rows = Array.from({ length: 700 }, (_, index) => `${index},"a\n""${index}"""`);
    const named = await openDataFile(memorySource('q.csv.gz', zlib.gzipSync(`n,t\r\n${rows.join('\r\n')}`)), budget);
    const texts = await named.array('t');
    assert.deepEqual(await texts.text!.read(600, 601), ['a\n"600"']);
    assert.deepEqual(asNumbers(await (await named.array('n')).rows(698, 700)), [698, 699]);
  });

  const truncated = (name: string, keep: number): Buffer => fs.readFileSync(path.join(folder, name)).subarray(0, keep);
  const bad: readonly (readonly [string, string, Uint8Array, RegExp])[] = [
    ['a Parquet file that is cut off', 'a.parquet', truncated('plain.parquet', 2000), /^a\.parquet: the Parquet data cannot be read/],
    ['an Arrow file that is cut off', 'a.arrow', truncated('file.arrow', 2000), /^a\.arrow: the Arrow data cannot be read/],
    ['an Arrow stream of other bytes', 'a.arrows', Buffer.from('hello, this is no Arrow stream at all'), /^a\.arrows: /],
    ['JSON lines that are no objects', 'a.jsonl', Buffer.from('[1]\n'), /^a\.jsonl: line 1: a line should be an object/],
    ['broken JSON lines', 'a.jsonl', Buffer.from('{"a":1}\n{"a":\n'), /^a\.jsonl: line 2: this is not valid JSON/],
    ['JSON lines of other sizes', 'a.jsonl', Buffer.from('{"a":[1,2]}\n{"a":[1]}\n'), /^a\.jsonl: line 2: its field 'a' should be a list of 2 numbers/],
    ['an empty text', 'a.txt.gz', zlib.gzipSync(''), /^a\.txt\.gz: the file is empty/],
  ];
  for (const [title, name, bytes, message] of bad) {
    it(`says: ${title}`, () => assert.rejects(async () => {
      const file = await openDataFile(memorySource(name, bytes), budget);
      for (const column of file.arrays) {
        const array = await file.array(column);
        await array.rows(0, array.shape[0]!);
      }
    }, (error) => {
      assert.ok(error instanceof ParticlizeError, String(error));
      assert.match(error.message, message);
      return true;
    }));
  }

  it('damaged Parquet and Arrow files are refused or read, never crash or grow', async function () {
    this.timeout(60_000);
    let state = 7;
    const random = (): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) / 2 ** 32;
    let refused = 0;
    for (const name of ['snappy.parquet', 'gzip.parquet', 'file.arrow', 'stream.arrows', 'lz4.feather', 'zstd.feather', 'table.jsonl']) {
      const original = fs.readFileSync(path.join(folder, name));
      for (let round = 0; round < 40; round++) {
        const bytes = Uint8Array.from(original);
        // Half of the damage goes into headers and footers, where sizes and counts are.
        const place = (): number => Math.floor(round % 2 ? random() * bytes.length : bytes.length - 1 - random() * Math.min(1500, bytes.length));
        for (let change = 0; change < 1 + round % 5; change++) bytes[place()] = random() < 0.3 ? 255 : Math.floor(random() * 256);
        try {
          const file = await openDataFile(memorySource(name, bytes), 2 ** 24);
          for (const column of file.arrays) await (await file.array(column)).rows(0, 10);
        } catch (error) {
          assert.ok(error instanceof ParticlizeError, `${name} round ${round}: ${String(error instanceof Error ? error.stack : error)}`);
          refused++;
        }
      }
    }
    assert.ok(refused > 50, String(refused));
  });
});
