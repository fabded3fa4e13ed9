import { nowhere, type Hdf5Bytes, type Hdf5Cursor } from './hdf5Bytes';

/**
 * Link messages of a group with many members in the newer form: a fractal heap indexed by a version 2 B-tree (HDF5 File
 * Format Specification 3.0, III.A.2, III.G, IV.A.2.c). `body` is the group's link info message.
 */
export async function denseLinks(file: Hdf5Bytes, body: Hdf5Cursor): Promise<readonly Hdf5Cursor[]> {
  body.u8();
  const flags = body.u8();
  if (flags & 1) body.skip(8);
  const heapAddress = body.offset();
  const names = body.offset();
  if (heapAddress === nowhere || names === nowhere) return [];
  const heap = await openHeap(file, heapAddress);
  const links: Hdf5Cursor[] = [];
  for (const record of await treeRecords(file, names)) links.push(await heap.object(record.skip(4)));
  return links;
}

interface Heap {
  /** A managed object by its heap id: 1 byte kind, offset, length. */
  object(id: Hdf5Cursor): Promise<Hdf5Cursor>;
}

async function openHeap(file: Hdf5Bytes, address: number): Promise<Heap> {
  const { lengthSize, offsetSize } = file;
  const head = (await file.block(address, 26 + 12 * lengthSize + 3 * offsetSize, 'a fractal heap')).signature('FRHP', 'a fractal heap').skip(1);
  head.u16();
  if (head.u16() !== 0) file.fail(address, 'a compressed fractal heap is not read');
  head.u8();
  const largestObject = head.u32();
  // Next huge id, huge B-tree, free space and its manager; eight counts and sizes.
  head.skip(10 * lengthSize + 2 * offsetSize);
  const width = head.u16();
  const startBlock = head.length();
  const largestBlock = head.length();
  const heapBits = head.u16();
  head.u16();
  const root = head.offset();
  const rows = head.u16();
  if (width === 0 || startBlock === 0 || heapBits > 64) file.fail(address, 'a fractal heap has impossible sizes');
  const offsetBytes = Math.ceil(heapBits / 8);
  const lengthBytes = Math.floor(Math.log2(Math.max(1, Math.min(largestBlock, largestObject))) / 8) + 1;
  const directRows = Math.log2(largestBlock / startBlock) + 2;

  const rowBytes = (row: number): number => startBlock * 2 ** Math.max(0, row - 1);
  /** File address of a byte of the heap's space, inside the block at `block` that covers `start` on. */
  const locate = async (block: number, blockRows: number, start: number, wanted: number, depth: number): Promise<number> => {
    if (block === nowhere || depth > 16) file.fail(address, 'an object lies in no block of its fractal heap');
    if (blockRows === 0) return block + (wanted - start);
    const header = 5 + offsetSize + offsetBytes;
    const entries = await file.block(block, header + blockRows * width * offsetSize, 'a block of a fractal heap');
    entries.signature('FHIB', 'a block of a fractal heap').skip(header - 4);
    let from = start;
    for (let row = 0; row < blockRows; row++) {
      for (let column = 0; column < width; column++) {
        const child = entries.offset();
        const size = rowBytes(row);
        if (wanted < from + size) {
          const childRows = row < directRows ? 0 : Math.log2(size / (startBlock * width)) + 1;
          return locate(child, childRows, from, wanted, depth + 1);
        }
        from += size;
      }
    }
    return file.fail(address, 'an object lies behind its fractal heap');
  };
  return {
    async object(id) {
      if ((id.u8() >> 4) !== 0) id.fail('this kind of object in a fractal heap is not read');
      const offset = id.uint(offsetBytes);
      const length = id.uint(lengthBytes);
      return file.block(await locate(root, rows, 0, offset, 0), length, 'an object of a fractal heap');
    },
  };
}

/** All records of a version 2 B-tree. */
async function treeRecords(file: Hdf5Bytes, address: number): Promise<Hdf5Cursor[]> {
  const head = (await file.block(address, 16 + 2 + file.offsetSize + 2 + file.lengthSize, 'a B-tree')).signature('BTHD', 'a B-tree').skip(2);
  const nodeBytes = head.u32();
  const recordBytes = head.u16();
  const depth = head.u16();
  head.skip(2);
  const root = head.offset();
  const count = head.u16();
  if (recordBytes < 5 || nodeBytes < 10 || depth > 16) file.fail(address, 'a B-tree has impossible sizes');
  const records: Hdf5Cursor[] = [];
  const width = (value: number): number => Math.max(1, Math.ceil(Math.log2(value + 1) / 8));
  // How many records fit, from the leaves up: child pointers use as few bytes as these numbers need.
  const fits = [Math.floor((nodeBytes - 10) / recordBytes)];
  const totals = [fits[0]!];
  for (let level = 1; level <= depth; level++) {
    const pointer = file.offsetSize + width(fits[0]!) + (level > 1 ? width(totals[level - 1]!) : 0);
    fits.push(Math.floor((nodeBytes - 10 - pointer) / (recordBytes + pointer)));
    totals.push((fits[level]! + 1) * totals[level - 1]! + fits[level]!);
  }
  const visit = async (node: number, level: number, inNode: number): Promise<void> => {
    if (inNode > fits[level]! || records.length > 200_000) file.fail(node, 'a B-tree holds more than it can');
    const cursor = await file.block(node, nodeBytes, 'a B-tree');
    cursor.signature(level === 0 ? 'BTLF' : 'BTIN', 'a B-tree').skip(2);
    for (let index = 0; index < inNode; index++) records.push(cursor.part(recordBytes));
    if (level === 0) return;
    for (let index = 0; index <= inNode; index++) {
      const child = cursor.offset();
      const inChild = cursor.uint(width(fits[0]!));
      if (level > 1) cursor.uint(width(totals[level - 1]!));
      await visit(child, level - 1, inChild);
    }
  };
  if (root !== nowhere && count > 0) await visit(root, depth, count);
  return records;
}
