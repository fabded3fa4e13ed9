import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { datasetsIn, hdf5At, openHdf5, type Hdf5Group } from '../../../../src/core/formats/containers/hdf5';
import { copyOf, writeHdf5, type NewGroup } from '../../../../src/core/formats/containers/hdf5Writer';
import { ParticlizeError } from '../../../../src/core/graph/errors';
import { asNumbers } from '../../../../src/core/graph/numeric';
import { contentsOf, fixtureFolder, memorySource } from '../../support/memoryFiles';

const folder = path.join(fixtureFolder, 'formats');
const expected = JSON.parse(fs.readFileSync(path.join(folder, 'hdf5.json'), 'utf8')) as Record<string, Record<string, [number[], number]>>;
const bytesOf = (name: string): Uint8Array => new Uint8Array(fs.readFileSync(path.join(folder, name)));

async function sumsOf(root: Hdf5Group): Promise<Record<string, [readonly number[], number]>> {
  const sums: Record<string, [readonly number[], number]> = {};
  for (const dataset of datasetsIn(root)) sums[dataset.path] = [dataset.shape, asNumbers(await dataset.read()).reduce((sum, value) => sum + value, 0)];
  return sums;
}

function assertSums(found: Record<string, [readonly number[], number]>, wanted: Record<string, [number[], number]>): void {
  assert.deepEqual(Object.keys(found).sort(), Object.keys(wanted).sort());
  for (const [name, [shape, sum]] of Object.entries(wanted)) {
    assert.deepEqual(found[name]![0], shape, name);
    assert.ok(Math.abs(found[name]![1] - sum) <= 1e-9 * (1 + Math.abs(sum)), `${name}: ${found[name]![1]}, not ${sum}`);
  }
}

describe('HDF5', () => {
  for (const [name, wanted] of Object.entries(expected)) {
    it(`${name}: every dataset has the shape and the sum that h5py gives, attributes their values`, async () => {
      const root = await openHdf5(memorySource(name, bytesOf(name)));
      assertSums(await sumsOf(root), wanted);
      const values = Object.fromEntries([...root.attributes].map(([key, attribute]) => [key, attribute.values]));
      assert.deepEqual(values, { text: ['grüße'], fixed: ['fixed'], list: ['a', 'bcd'], number: [3] });
      assert.equal((await (hdf5At(root, 'half') as Exclude<ReturnType<typeof hdf5At>, Hdf5Group | undefined>).read()).dtype, 'float16');
    });

    it(`${name}: what is written holds the same for this reader and for the HDF5 library`, async () => {
      const root = await openHdf5(memorySource(name, bytesOf(name)));
      const written = await contentsOf({ name, ...writeHdf5(copyOf(root) as NewGroup) });
      assertSums(await sumsOf(await openHdf5(memorySource(name, written))), wanted);
      const h5wasm = await import('h5wasm/node');
      const { FS } = await h5wasm.ready;
      const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-'));
      const onDisk = path.join(temporary, 'written.h5');
      FS.writeFile(onDisk, written);
      const file = new h5wasm.File(onDisk, 'r');
      const sums: Record<string, [readonly number[], number]> = {};
      for (const path of Object.keys(wanted)) {
        // The library that reads here does not know float16.
        if (path === 'half') continue;
        const dataset = file.get(path) as { shape: number[]; json_value: unknown };
        sums[path] = [dataset.shape, [dataset.json_value].flat(5).reduce((sum: number, value) => sum + Number(value), 0)];
      }
      assert.equal(file.attrs['text']!.value, 'grüße');
      file.close();
      fs.rmSync(temporary, { recursive: true });
      const { half: _half, ...rest } = wanted;
      assertSums(sums, rest);
    });

    it(`${name}: cut anywhere it gives one sentence`, async () => {
      const bytes = bytesOf(name);
      for (let length = 0; length < bytes.length; length += Math.ceil(bytes.length / 97)) {
        await assert.rejects(openHdf5(memorySource(name, bytes.subarray(0, length))), (error) => error instanceof ParticlizeError && error.parts.file === name);
      }
    });
  }

  it('a group that contains itself is refused', async () => {
    const bytes = bytesOf('hdf5-old.h5');
    const root = await openHdf5(memorySource('m.h5', bytes));
    const many = hdf5At(root, 'many');
    assert.equal(many?.kind, 'group');
    // The address of the root's header takes the place of every other object's in the symbol tables.
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const address = view.getBigUint64(64, true);
    const text = new TextDecoder('latin1').decode(bytes);
    const node = text.lastIndexOf('SNOD');
    view.setBigUint64(node + 16, address, true);
    await assert.rejects(openHdf5(memorySource('m.h5', bytes)), /contains itself/);
  });

  it('a shape of 2^60 elements takes no memory', async () => {
    const bytes = bytesOf('hdf5-old.h5');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let changed = 0;
    // Dataspace messages of version 1 and rank 1 or 2: their first size becomes 2^60.
    for (let at = 0; at + 24 < bytes.length; at += 8) {
      if (view.getUint16(at, true) === 1 && bytes[at + 8] === 1 && (bytes[at + 9] === 1 || bytes[at + 9] === 2)) {
        view.setBigUint64(at + 16, 2n ** 60n, true);
        changed++;
      }
    }
    assert.ok(changed > 0);
    await assert.rejects(openHdf5(memorySource('m.h5', bytes)), /m\.h5: .*(impossibly large|leave the file)/);
  });
});
