import { ParticlizeError } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import { asFloat32, fromFloat32, isFloat } from '../graph/numeric';
import { elementCount, type DType, type NdArray } from '../graph/tensor';
import type { Hdf5Group } from './containers/hdf5';
import { copyOf, writeHdf5, type NewDataset, type NewGroup } from './containers/hdf5Writer';
import type { KerasRecord } from './keras/kerasImport';
import { fileShape, unviewWeight } from './keras/weightView';
import type { KerasStore } from './keras/kerasH5Weights';

/** What a Keras file that was opened needs to be written again. */
export interface KerasFile {
  readonly name: string;
  readonly root: Hdf5Group;
  readonly store: KerasStore;
  readonly record: KerasRecord;
}

/**
 * The HDF5 file with the weights of the changed graph. The state of the optimizer goes when a shape changed, because it
 * fits the old shapes only; everything else is copied. `edit` changes what else the file holds.
 */
export function rewriteWeights(
  file: KerasFile, original: ModelGraph, graph: ModelGraph, edit: (root: NewGroup) => void,
): { readonly sizeBytes: number; chunks(): AsyncIterable<Uint8Array> } {
  const root = copyOf(file.root) as NewGroup;
  let reshaped = false;
  for (const [name, { weight, layout, layer }] of file.record.weights) {
    const tensor = graph.tensors.get(name);
    const before = original.tensors.get(name);
    if (tensor === before) continue;
    if (!tensor) {
      throw new ParticlizeError({
        file: file.name, place: `layer ${layer}`, cause: `its weight ${weight} is gone, and a Keras file must hold every weight of its layers`,
      });
    }
    const dataset = file.store.datasets.get(weight)!;
    const shape = fileShape(tensor.shape, layout);
    reshaped ||= shape.join() !== dataset.shape.join();
    const dtype = dataset.dtype ?? tensor.dtype;
    replace(root, dataset.path, (old) => ({
      ...old, shape, read: async () => bytesOf(unviewWeight(await tensor.read(), layout), dtype, elementCount(shape) * old.elementBytes),
    }));
  }
  if (reshaped) for (const name of ['optimizer_weights', 'optimizer', '_optimizer']) root.children.delete(name);
  edit(root);
  return writeHdf5(root);
}

function replace(root: NewGroup, path: string, change: (old: NewDataset) => NewDataset): void {
  const parts = path.split('/');
  const name = parts.pop()!;
  let group = root;
  for (const part of parts) {
    const child = group.children.get(part);
    if (child?.kind !== 'group') return;
    group = child;
  }
  const old = group.children.get(name);
  if (old?.kind === 'dataset') group.children.set(name, change(old));
}

/** Elements in the file's type, little-endian. */
function bytesOf(array: NdArray, dtype: DType, sizeBytes: number): Uint8Array {
  const fitting = array.dtype === dtype || !isFloat(dtype) ? array : fromFloat32(asFloat32(array), array.shape, dtype);
  const { buffer, byteOffset, byteLength } = fitting.data;
  if (byteLength !== sizeBytes) throw new RangeError(`${byteLength} bytes came where ${sizeBytes} were announced`);
  return new Uint8Array(buffer, byteOffset, byteLength);
}
