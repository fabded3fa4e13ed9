import { elementCount, type Tensor } from '../graph/tensor';

export interface Quantization {
  /** One for the tensor or one for each index of `axis`. */
  readonly scales: readonly number[];
  /** As many, or none: 0. */
  readonly zeroPoints: readonly number[];
  readonly axis: number;
}

/** value = (stored - zero point) * scale (LiteRT quantization specification), computed when the tensor is read. */
export function dequantised(tensor: Tensor, { scales, zeroPoints, axis }: Quantization): Tensor {
  const { name, shape } = tensor;
  const inner = elementCount(shape.slice(axis + 1));
  return {
    name, dtype: 'float32', shape,
    async read() {
      const { data: stored } = await tensor.read();
      const data = new Float32Array(stored.length);
      for (let index = 0; index < data.length; index++) {
        const channel = scales.length > 1 ? Math.floor(index / inner) % shape[axis]! : 0;
        data[index] = (Number(stored[index]) - (zeroPoints[channel] ?? zeroPoints[0] ?? 0)) * scales[channel]!;
      }
      return { dtype: 'float32', shape, data };
    },
  };
}
