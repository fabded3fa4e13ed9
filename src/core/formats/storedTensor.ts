import type { ByteSource } from '../graph/byteSource';
import { bytesPerElement, elementCount, type DType, type Tensor } from '../graph/tensor';
import { elementsOf } from './onnx/onnxTensors';

/** A tensor that lies row-major and little-endian at `offset`, read when asked for. */
export function storedTensor(
  name: string, dtype: Exclude<DType, 'string'>, shape: readonly number[], source: ByteSource, offset: number,
): Tensor {
  const sizeBytes = Math.ceil(elementCount(shape) * bytesPerElement[dtype]);
  return {
    name, dtype, shape,
    stored: { source, offset, sizeBytes, shape, axes: shape.map((_, axis) => axis) },
    read: async () => ({ dtype, shape, data: elementsOf(await source.read(offset, sizeBytes), dtype) }),
  };
}

/** What is wrong with a shape that a header claims, or undefined. Products of its sizes are safe integers then. */
export function shapeObjection(shape: readonly unknown[]): string | undefined {
  const text = `[${shape.slice(0, 16).join(', ')}]`;
  if (shape.length > 64) return `it has ${shape.length} axes`;
  if (!shape.every((size) => typeof size === 'number' && Number.isSafeInteger(size) && size >= 0)) return `its shape ${text} is impossible`;
  // Without a zero's help, so that products of part of the shape are safe too.
  const product = (shape as number[]).reduce((all, size) => all * Math.max(size, 1), 1);
  return product <= 2 ** 48 ? undefined : `its shape ${text} is impossibly large`;
}
