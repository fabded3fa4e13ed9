import assert from 'node:assert/strict';
import { messagesOf, numberOf, numbersOf, protoTypes, readProto, recordsOf, textOf } from '../../../../src/core/formats/containers/protobuf';
import { Chunks, encodeField, encodeMessage, patchMessage } from '../../../../src/core/formats/containers/protobufWriter';
import { ParticlizeError } from '../../../../src/core/graph/errors';
import { memorySource } from '../../support/memoryFiles';

const types = protoTypes({
  Tree: { name: '1 string', size: '2 int64', children: '3 Tree*', numbers: '4 int64*', floats: '5 float*', data: '6 bytes lazy', weights: '7 float* lazy' },
});

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const read = (content: Uint8Array, limits = {}) => readProto(memorySource('tree.bin', content), types.Tree, limits);
const encoded = (message: Parameters<typeof encodeMessage>[1]): Promise<Uint8Array> => encodeMessage(types.Tree, message).whole();

describe('protobuf', () => {
  it('reads the examples of the Protocol Buffers encoding guide', async () => {
    // 08 96 01 is field 1 = 150; 12 07 "testing"; packed 3, 270, 86942 (the guide's own bytes, with this schema's numbers).
    const tree = await read(bytes(0x10, 0x96, 0x01, 0x0a, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67, 0x22, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05));
    assert.equal(numberOf(tree, 'size'), 150);
    assert.equal(textOf(tree, 'name'), 'testing');
    assert.deepEqual(numbersOf(tree, 'numbers'), [3, 270, 86942]);
  });

  it('reads negative numbers and the limits of 64 bits', async () => {
    assert.equal(numberOf(await read(bytes(0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)), 'size'), -1);
    assert.equal(numberOf(await read(bytes(0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)), 'size'), 2 ** 63);
    for (const size of [0, 1, 127, 128, 2 ** 31, 2 ** 32 + 5, 2 ** 52, -1, -(2 ** 40)]) {
      assert.equal(numberOf(await read(await encoded({ size })), 'size'), size);
    }
  });

  it('reads packed and unpacked numbers alike, mixed too', async () => {
    const tree = await read(bytes(0x20, 0x01, 0x22, 0x02, 0x02, 0x03, 0x20, 0x04));
    assert.deepEqual(numbersOf(tree, 'numbers'), [1, 2, 3, 4]);
  });

  it('does not read lazy fields, packed or not, however large they are', async () => {
    const data = new Uint8Array(1 << 20);
    const content = await encoded({ name: 'a', data, children: [{ name: 'b', data }], weights: [1, 2, 3] });
    const source = memorySource('tree.bin', content);
    const tree = await readProto(source, types.Tree);
    assert.equal(textOf(messagesOf(tree, 'children')[0]!, 'name'), 'b');
    assert.ok(source.bytesRead < 200_000, `${source.bytesRead} bytes were read`);
    const [record] = recordsOf(tree, 'data');
    assert.equal(record!.end - record!.bodyStart, data.length);
    // Three unpacked elements, each with its tag, are one run.
    const [run, ...more] = recordsOf(tree, 'weights');
    assert.equal(more.length, 0);
    assert.equal(run!.end - run!.start, 15);
  });

  it('copies what is not changed byte for byte, unknown fields too', async () => {
    const content = Buffer.concat([await encoded({ name: 'root', children: [{ name: 'left' }, { name: 'right' }] }), bytes(0xfa, 0x01, 0x02, 9, 9)]);
    const source = memorySource('tree.bin', content);
    const tree = await readProto(source, types.Tree);
    assert.deepEqual(Buffer.from(await patchMessage(source, tree, new Map()).whole()), content);
    const [left] = recordsOf(tree, 'children');
    const replaced = patchMessage(source, tree, new Map([[left!, encodeField(new Chunks(), left!.field!, { name: 'middle' })]]), { size: 7 });
    const again = await read(await replaced.whole());
    assert.deepEqual(messagesOf(again, 'children').map((child) => textOf(child, 'name')), ['middle', 'right']);
    assert.equal(again.records.find((record) => record.number === 31)!.end - again.records.find((record) => record.number === 31)!.bodyStart, 2);
    assert.equal(numberOf(again, 'size'), 7);
  });

  const bad: [string, Uint8Array, RegExp][] = [
    ['a length past the end', bytes(0x0a, 0x05, 0x41), /byte 0: Tree\.name says that it is 5 bytes long, but 1 are left/],
    ['a length of 2^63', bytes(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), /Tree\.name says that it is/],
    ['a number without end', bytes(0x10, 0xff, 0xff), /byte 1: Tree\.size ends inside a number/],
    ['a number of eleven bytes', new Uint8Array(14).fill(0xff).fill(0x10, 0, 1), /longer than 10 bytes/],
    ['a wrong wire type', bytes(0x08, 0x01), /byte 0: Tree\.name has wire type 0 instead of 2/],
    ['a group', bytes(0x0b), /Tree\.name has wire type 3/],
    ['field number 0', bytes(0x00, 0x01), /field with number 0/],
    ['a child past its parent', bytes(0x1a, 0x02, 0x0a, 0x05), /Tree\.children\.name says that it is 5 bytes long/],
    ['a packed float cut in two', bytes(0x2a, 0x03, 0, 0, 0), /Tree\.floats ends inside a number/],
  ];
  for (const [what, content, message] of bad) {
    it(`says where ${what} is`, async () => {
      await assert.rejects(read(content), (error) => error instanceof ParticlizeError && message.test(error.message) && /^tree\.bin: /.test(error.message));
    });
  }

  it('stops at a hundred nested messages and at its limit of fields', async () => {
    let nested = new Chunks();
    for (let depth = 0; depth < 150; depth++) nested = encodeMessage(types.Tree, { children: [nested] });
    await assert.rejects(read(await nested.whole()), /nested more than 100 messages deep/);
    await assert.rejects(read(await encoded({ numbers: Array.from({ length: 100 }, () => 1) }), { maxRecords: 50 }), /more than 50 fields/);
    await assert.rejects(read(bytes(0x22, 60, ...new Uint8Array(60)), { maxRecords: 50 }).then((tree) => numbersOf(tree, 'numbers').length), /more than 50 fields/);
  });
});
