import fs from 'node:fs';
import path from 'node:path';
import { attributeTypes, onnxTypes } from '../../src/core/formats/onnx/onnxSchema';
import { encodeMessage, type PlainMessage } from '../../src/core/formats/containers/protobufWriter';

/** A chain of `layers` dense layers of [width, width] float32: large files of a plain structure. */
export interface BigModel {
  readonly layers: number;
  readonly width: number;
}

/** Every second layer is stored [out, in], the others [in, out]. Returns the model's path; its weights are in `<name>.data`. */
export function writeOnnx(folder: string, name: string, { layers, width }: BigModel, fill: Fill): string {
  const file = path.join(folder, `${name}.onnx`);
  const layerBytes = width * width * 4;
  const initializer = Array.from({ length: layers }, (_, index): PlainMessage => ({
    dims: [width, width], data_type: 1, name: weightName(index), data_location: 1,
    external_data: Object.entries({ location: `${name}.data`, offset: index * layerBytes, length: layerBytes })
      .map(([key, value]) => ({ key, value: String(value) })),
  }));
  const node = Array.from({ length: layers }, (_, index): PlainMessage => ({
    input: [index === 0 ? 'x' : `h${index - 1}`, weightName(index)], output: [`h${index}`], name: `dense${index}`,
    ...(index % 2 ? { op_type: 'MatMul' } : { op_type: 'Gemm', attribute: [{ name: 'transB', i: 1, type: attributeTypes.int }] }),
  }));
  const value = (valueName: string): PlainMessage => ({
    name: valueName, type: { tensor_type: { elem_type: 1, shape: { dim: [{ dim_param: 'N' }, { dim_value: width }] } } },
  });
  const model = encodeMessage(onnxTypes.ModelProto, {
    ir_version: 8, producer_name: 'bench', opset_import: [{ version: 18 }],
    graph: { node, name: 'chain', initializer, input: [value('x')], output: [value(`h${layers - 1}`)] },
  });
  const chunks = model.list.map((chunk) => {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('the header is in memory');
    return chunk;
  });
  fs.writeFileSync(file, Buffer.concat(chunks));
  fill(path.join(folder, `${name}.data`), 0, layers * layerBytes);
  return file;
}

export function writeSafetensors(folder: string, name: string, { layers, width }: BigModel, fill: Fill): string {
  const file = path.join(folder, `${name}.safetensors`);
  const layerBytes = width * width * 4;
  const header = JSON.stringify(Object.fromEntries(Array.from({ length: layers }, (_, index) =>
    [weightName(index), { dtype: 'F32', shape: [width, width], data_offsets: [index * layerBytes, (index + 1) * layerBytes] }])));
  const padded = Buffer.from(header.padEnd(Math.ceil(header.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  fs.writeFileSync(file, Buffer.concat([length, padded]));
  fill(file, 8 + padded.length, layers * layerBytes);
  return file;
}

/** GGUF version 3 with the two keys that every reader wants. */
export function writeGguf(folder: string, name: string, { layers, width }: BigModel, fill: Fill): string {
  const file = path.join(folder, `${name}.gguf`);
  const number = (value: number, bytes: 4 | 8): Buffer => {
    const buffer = Buffer.alloc(bytes);
    if (bytes === 8) buffer.writeBigUInt64LE(BigInt(value));
    else buffer.writeUInt32LE(value);
    return buffer;
  };
  const text = (value: string): Buffer => Buffer.concat([number(Buffer.byteLength(value), 8), Buffer.from(value)]);
  const layerBytes = width * width * 4;
  const parts = [Buffer.from('GGUF'), number(3, 4), number(layers, 8), number(2, 8)];
  parts.push(text('general.architecture'), number(8, 4), text('llama'), text('general.alignment'), number(4, 4), number(32, 4));
  for (let index = 0; index < layers; index++) {
    parts.push(text(`blk.${index}.ffn_up.weight`), number(2, 4), number(width, 8), number(width, 8), number(0, 4), number(index * layerBytes, 8));
  }
  const header = Buffer.concat(parts);
  const start = Math.ceil(header.length / 32) * 32;
  fs.writeFileSync(file, Buffer.concat([header, Buffer.alloc(start - header.length)]));
  fill(file, start, layers * layerBytes);
  return file;
}

/** Puts `length` bytes at `offset` into a file. */
export type Fill = (file: string, offset: number, length: number) => void;

/** A hole: takes no disk. */
export const sparse: Fill = (file, offset, length) => {
  fs.closeSync(fs.openSync(file, 'a'));
  fs.truncateSync(file, offset + length);
};

/** Normally distributed float32, standard deviation 0.02. */
export const random: Fill = (file, offset, length) => {
  const descriptor = fs.openSync(file, fs.existsSync(file) ? 'r+' : 'w');
  const block = new Float32Array(1 << 22);
  let state = 0x9e3779b9;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 4294967296;
  };
  for (let at = 0; at < length; at += block.byteLength) {
    // The sum of four uniform numbers is near enough to normal.
    for (let k = 0; k < block.length; k++) block[k] = (next() + next() + next() + next() - 2) * 0.0346;
    fs.writeSync(descriptor, block, 0, Math.min(block.byteLength, length - at), offset + at);
  }
  fs.closeSync(descriptor);
};

function weightName(index: number): string {
  return `blocks.${index}.dense.weight`;
}
