import type { Tensor } from '../../graph/tensor';
import { elementCount } from '../../graph/tensor';
import type { ReconstructStep } from '../plan';
import { counted, FieldError, redrawn, rewritten, StepError, type Action } from './action';

/** Puts in the weights that the plan carries. */
export const reconstruct: Action<ReconstructStep> = {
  name: 'reconstruct',
  check(fields) {
    const tensors = fields.list('tensors').map((entry, index) => {
      const { name, shape, float32 } = (entry ?? {}) as { name?: unknown; shape?: unknown; float32?: unknown };
      const sizes = Array.isArray(shape) && shape.every((size) => Number.isInteger(size) && size >= 0) ? shape as number[] : undefined;
      if (typeof name !== 'string' || !sizes || typeof float32 !== 'string') throw new FieldError(`tensors[${index}]`, 'it should have a name, a shape and its numbers (float32, in base64)');
      return { name, shape: sizes, float32 };
    });
    return { action: 'reconstruct', layer: fields.text('layer'), tensors };
  },
  async apply({ layer, tensors }, { graph }) {
    const changed = new Map<string, Tensor>(graph.tensors);
    for (const { name, shape, float32 } of tensors) {
      const tensor = graph.tensors.get(name);
      if (!tensor) throw new StepError(layer, `the model has no weights '${name}'`);
      if (tensor.shape.join() !== shape.join()) {
        throw new StepError(layer, `its new weights ${name} are for shape [${shape.join(', ')}], but here it is [${tensor.shape.join(', ')}]: the steps in front of this one are not those it was made for`);
      }
      const values = decodeFloat32(float32);
      if (values?.length !== elementCount(shape) || !values.every((value) => Number.isFinite(value))) throw new StepError(layer, `the numbers of ${name} do not fill its shape, or are damaged`);
      changed.set(name, rewritten(tensor, values));
    }
    return { graph: await redrawn(graph, { tensors: changed }) };
  },
  words: ({ layer, tensors }) => `put in ${counted(tensors.length, 'reconstructed tensor')} of ${layer}`,
};

/** Little-endian float32 in base64, as reconstruction steps carry it. */
export function encodeFloat32(values: Float32Array): string {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => view.setFloat32(4 * index, value, true));
  let text = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const [a, b, c] = [bytes[at]!, bytes[at + 1], bytes[at + 2]];
    text += letters[a >> 2]! + letters[((a & 3) << 4) | ((b ?? 0) >> 4)]!
      + (b === undefined ? '=' : letters[((b & 15) << 2) | ((c ?? 0) >> 6)]!) + (c === undefined ? '=' : letters[c & 63]!);
  }
  return text;
}

/** undefined when it is not base64 of whole numbers. */
export function decodeFloat32(text: string): Float32Array | undefined {
  const clean = text.replace(/=+$/, '');
  const length = Math.floor((clean.length * 3) / 4);
  if (length % 4 !== 0) return undefined;
  const bytes = new Uint8Array(length);
  let [bits, held, at] = [0, 0, 0];
  for (const letter of clean) {
    const value = codes.get(letter);
    if (value === undefined) return undefined;
    bits = ((bits << 6) | value) & 0xffff;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes[at++] = (bits >> held) & 0xff;
  }
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: length / 4 }, (_, index) => view.getFloat32(4 * index, true));
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const codes = new Map([...letters].map((letter, value) => [letter, value]));
