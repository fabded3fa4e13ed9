import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { elementCount, type DType, type Tensor } from '../../graph/tensor';
import { swapBytes } from '../pytorch/torchStorage';
import { storedTensor } from '../storedTensor';
import { elementsOf } from '../onnx/onnxTensors';
import type { GgufHeader, GgufTensorInfo } from './ggufHeader';
import { quantisations } from './quantisations';

export interface GgufTensor {
  readonly tensor: Tensor;
  readonly typeName: string;
  readonly kind: 'plain' | 'quantised' | 'unread';
}

const plainTypes: Readonly<Record<number, Exclude<DType, 'string'>>> = {
  0: 'float32', 1: 'float16', 24: 'int8', 25: 'int16', 26: 'int32', 27: 'int64', 28: 'float64', 30: 'bfloat16',
};

/** A tensor as the header describes it. Throws a ParticlizeError when it leaves the file. */
export function ggufTensor(source: ByteSource, { bigEndian }: GgufHeader, { name, shape, type, offset }: GgufTensorInfo): GgufTensor {
  const place = `tensor ${name.slice(0, 200)}`;
  const fail = (cause: string): ParticlizeError =>
    new ParticlizeError({ file: source.name, place, cause, action: 'The file may be cut off or damaged; download it again' });
  const count = elementCount(shape);
  const checkEnd = (sizeBytes: number): void => {
    if (!(offset + sizeBytes <= source.sizeBytes)) throw fail(`it ends at byte ${offset + sizeBytes}, but the file at byte ${source.sizeBytes}`);
  };
  const dtype = plainTypes[type];
  if (dtype) {
    const tensor = storedTensor(name, dtype, shape, source, offset);
    const { sizeBytes } = tensor.stored!;
    checkEnd(sizeBytes);
    if (!bigEndian) return { tensor, typeName: dtype, kind: 'plain' };
    const read: Tensor['read'] = async () => {
      const bytes = (await source.read(offset, sizeBytes)).slice();
      swapBytes(bytes, dtype);
      return { dtype, shape, data: elementsOf(bytes, dtype) };
    };
    return { tensor: { name, dtype, shape, read }, typeName: dtype, kind: 'plain' };
  }
  const known = quantisations[type];
  const typeName = known?.name ?? `number ${type}`;
  if (known) {
    if ((shape.at(-1) ?? 1) % known.elements) throw fail(`rows of ${shape.at(-1)} elements are no whole number of ${typeName} blocks`);
    checkEnd((count / known.elements) * known.bytes);
  }
  const { decode } = known ?? {};
  if (!known || !decode || bigEndian) {
    const cause = `elements of type ${typeName}${known && decode ? ' in big-endian order' : ''} are not read by Particlize`;
    return { tensor: { name, dtype: 'float32', shape, read: () => Promise.reject(new ParticlizeError({ file: source.name, place, cause })) }, typeName, kind: 'unread' };
  }
  const read: Tensor['read'] = async () => {
    const blocks = count / known.elements;
    const bytes = await source.read(offset, blocks * known.bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const data = new Float32Array(count);
    for (let block = 0; block < blocks; block++) decode(view, block * known.bytes, data, block * known.elements);
    return { dtype: 'float32', shape, data };
  };
  return { tensor: { name, dtype: 'float32', shape, read }, typeName, kind: 'quantised' };
}
