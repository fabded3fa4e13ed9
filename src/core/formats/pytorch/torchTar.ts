import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { bytesPerElement, type DType } from '../../graph/tensor';
import { readPickle } from '../containers/pickle';
import { entriesOf, itemsOf, PyDict, PyGlobal, PyObject, PyPersistent, PyTuple, type PickleValue } from '../containers/pickleValue';
import { cut, readInt64, refusalAction, storageDtype, type TorchFile } from './torchFile';
import type { TorchStorage } from './torchStorage';
import { allowsTorchName } from './torchTypes';

const options = { allows: allowsTorchName, refusalAction };

/** The oldest form of torch.save (before 0.2): a tar archive of the pickle, the storages and the tensors that look into them. */
export async function readTorchTar(file: string, members: ReadonlyMap<string, ByteSource>): Promise<TorchFile> {
  const member = (name: string): ByteSource => {
    const found = members.get(name);
    if (found) return found;
    throw new ParticlizeError({ file, cause: `the archive has no '${name}', so torch.save did not write it` });
  };
  const system = members.has('sys_info') ? (await readPickle(member('sys_info'), 0, options)).value : null;
  const bigEndian = entriesOf(system)?.get('little_endian') === false;
  const storages = await readStorages(member('storages'), bigEndian);
  const views = members.has('tensors') ? await readTensors(member('tensors')) : new Map<string, PyObject>();
  const { value: root } = await readPickle(member('pickle'), 0, options);
  return {
    root: views.size ? withTensors(root, views) : root,
    storage(id) {
      const [kind, type, key] = itemsOf(id) ?? [];
      const found = kind === 'storage' ? storages.get(keyOf(key)) : undefined;
      if (!found) throw new ParticlizeError({ file, cause: `a tensor refers to storage ${keyOf(key).slice(0, 80)}, which the archive does not hold` });
      return { ...found, dtype: storageDtype(type) ?? found.dtype };
    },
  };
}

interface Found {
  readonly storage: TorchStorage;
  readonly dtype: DType | undefined;
  readonly offset: number;
}

async function readStorages(source: ByteSource, bigEndian: boolean): Promise<Map<string, Found>> {
  const storages = new Map<string, Found>();
  const { value: count, end: start } = await readPickle(source, 0, options);
  if (typeof count !== 'number' || count > source.sizeBytes) throw cut(source.name, 0, 'the list of storages');
  let end = start;
  for (let index = 0; index < count; index++) {
    const entry = await readPickle(source, end, options);
    const [key, , type] = itemsOf(entry.value) ?? [];
    const dtype = storageDtype(type);
    if (!dtype || dtype === 'string') throw new ParticlizeError({ file: source.name, place: `byte ${end}`, cause: 'a storage is of no type that Particlize reads' });
    const elements = await readInt64(source, entry.end);
    const sizeBytes = elements * bytesPerElement[dtype];
    end = entry.end + 8 + sizeBytes;
    if (!(elements >= 0) || end > source.sizeBytes) throw cut(source.name, entry.end, `storage ${keyOf(key)} of ${elements} elements`);
    storages.set(keyOf(key), { storage: { key: keyOf(key), source, offset: entry.end + 8, sizeBytes, bigEndian }, dtype, offset: 0 });
  }
  if (end >= source.sizeBytes) return storages;
  // Views: (key of the view, key of its root, offset, size).
  const views = await readPickle(source, end, options);
  for (const view of itemsOf(views.value) ?? []) {
    const [key, root, offset] = itemsOf(view) ?? [];
    const found = storages.get(keyOf(root));
    if (found) storages.set(keyOf(key), { ...found, offset: typeof offset === 'number' ? offset : 0 });
  }
  return storages;
}

/** Tensors by key, each written as the call that newer files have in the pickle itself. */
async function readTensors(source: ByteSource): Promise<Map<string, PyObject>> {
  const tensors = new Map<string, PyObject>();
  const { value: count, end: start } = await readPickle(source, 0, options);
  if (typeof count !== 'number' || count > source.sizeBytes) throw cut(source.name, 0, 'the list of tensors');
  let end = start;
  for (let index = 0; index < count; index++) {
    const entry = await readPickle(source, end, options);
    const [key, storage, type] = itemsOf(entry.value) ?? [];
    if (entry.end + 8 > source.sizeBytes) throw cut(source.name, entry.end, 'a tensor');
    const head = await source.read(entry.end, 8);
    const rank = new DataView(head.buffer, head.byteOffset).getInt32(0, true);
    if (rank < 0 || rank > 64) throw new ParticlizeError({ file: source.name, place: `byte ${entry.end}`, cause: `a tensor has ${rank} axes` });
    const numbers: number[] = [];
    for (let k = 0; k < 2 * rank + 1; k++) numbers.push(await readInt64(source, entry.end + 8 + 8 * k));
    end = entry.end + 8 + 8 * numbers.length;
    const storageType = new PyGlobal('torch', type instanceof PyGlobal ? type.name.replace(/Tensor$/, 'Storage') : 'FloatStorage');
    tensors.set(keyOf(key), new PyObject(new PyGlobal('torch._utils', '_rebuild_tensor'), new PyTuple([
      new PyPersistent(new PyTuple(['storage', storageType, keyOf(storage), 'cpu', null])),
      numbers[2 * rank]!, new PyTuple(numbers.slice(0, rank)), new PyTuple(numbers.slice(rank, 2 * rank)),
    ]), 'reduce'));
  }
  return tensors;
}

/** The pickle with its references to tensors replaced by what they refer to, in place. */
function withTensors(root: PickleValue, tensors: ReadonlyMap<string, PyObject>): PickleValue {
  const resolve = (value: PickleValue): PickleValue => (value instanceof PyPersistent ? tensors.get(keyOf(value.id)) ?? value : value);
  const seen = new Set<PickleValue>();
  const stack: PickleValue[] = [root];
  for (let value = stack.pop(); value !== undefined; value = stack.pop()) {
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    if (value instanceof PyObject) stack.push(value.args, ...(value.state === undefined ? [] : [value.state]));
    const items = itemsOf(value) as PickleValue[] | undefined;
    items?.forEach((item, index) => stack.push((items[index] = resolve(item))));
    if (value instanceof PyDict || value instanceof PyObject) {
      for (const [key, item] of value.entries) {
        const resolved = resolve(item);
        if (resolved !== item) value.set(key, resolved);
        stack.push(resolved);
      }
    }
  }
  return resolve(root);
}

function keyOf(key: PickleValue | undefined): string {
  return typeof key === 'string' || typeof key === 'number' || typeof key === 'bigint' ? String(key) : '?';
}
