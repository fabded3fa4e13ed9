import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { bytesPerElement, type DType } from '../../graph/tensor';
import { readPickle } from '../containers/pickle';
import { entriesOf, itemsOf, PyDict, PyGlobal, PyObject, PyPersistent, type PickleValue } from '../containers/pickleValue';
import type { ZipArchive } from '../containers/zip';
import type { TorchStorage } from './torchStorage';
import { allowsScriptName, allowsTorchName, storageDtypes } from './torchTypes';

/** What torch.save wrote, before anybody asks what in it is a weight. */
export interface TorchFile {
  readonly root: PickleValue;
  /** The storage that a persistent id names, with the type that it names. Throws a ParticlizeError when it is not there. */
  storage(id: PickleValue): { readonly storage: TorchStorage; readonly dtype: DType | undefined; readonly offset: number };
  /** Where it came from, for the writer. */
  readonly archive?: { readonly zip: ZipArchive; readonly prefix: string; readonly bigEndian: boolean };
}

/** Folder of the archive's records ('archive/'), or undefined when it is not one of torch.save's. */
export function torchPrefix(zip: ZipArchive): string | undefined {
  for (const name of zip.entries.keys()) if (/^([^/]*\/)?data\.pkl$/.test(name)) return name.slice(0, -'data.pkl'.length);
  return undefined;
}

export function isTorchScript(zip: ZipArchive, prefix: string): boolean {
  return zip.entries.has(`${prefix}constants.pkl`)
    || [...zip.entries.keys()].some((name) => name.startsWith(`${prefix}code/`));
}

/** An archive of PyTorch 1.6 or later: a pickle, and one record for each storage. */
export async function readTorchArchive(zip: ZipArchive, prefix: string): Promise<TorchFile> {
  const pickle = zip.entry(`${prefix}data.pkl`);
  const script = isTorchScript(zip, prefix);
  const source = await zip.open(pickle);
  const { value: root } = await readPickle(source, 0, { allows: script ? allowsScriptName : allowsTorchName, refusalAction });
  const order = zip.entries.get(`${prefix}byteorder`);
  const bigEndian = order !== undefined && new TextDecoder().decode(await zip.readAll(order, 16)) === 'big';
  const storages = new Map<string, TorchStorage>();
  const records = `${prefix}data/`;
  const wanted = [...zip.entries.values()].filter(({ name }) => name.startsWith(records));
  // Local headers are looked up in batches: thousands of records are common.
  for (let at = 0; at < wanted.length; at += 256) {
    await Promise.all(wanted.slice(at, at + 256).map(async (entry) => {
      const key = entry.name.slice(records.length);
      const direct = entry.method === 0;
      storages.set(key, {
        key, sizeBytes: entry.sizeBytes, bigEndian,
        source: direct ? zip.source : await zip.open(entry),
        offset: direct ? await zip.dataOffset(entry) : 0,
      });
    }));
  }
  return {
    root, archive: { zip, prefix, bigEndian },
    storage(id) {
      const [kind, type, key] = itemsOf(id) ?? [];
      if (kind !== 'storage' || typeof key !== 'string') throw oddStorage(zip.source.name);
      const storage = storages.get(key);
      if (!storage) throw new ParticlizeError({ file: zip.source.name, place: `storage ${key.slice(0, 80)}`, cause: 'the archive does not hold it' });
      return { storage, dtype: storageDtype(type), offset: 0 };
    },
  };
}

/** A file of PyTorch before 1.6: four pickles and a list of storage names, then the storages one behind the other. */
export async function readLegacyTorch(source: ByteSource): Promise<TorchFile> {
  const file = source.name;
  const options = { allows: allowsTorchName, refusalAction };
  const magic = await readPickle(source, 0, options);
  if (magic.value !== torchMagic) {
    throw new ParticlizeError({ file, cause: 'this is a Python pickle, but not one that torch.save wrote', action: refusalAction });
  }
  const protocol = await readPickle(source, magic.end, options);
  const system = await readPickle(source, protocol.end, options);
  const bigEndian = entriesOf(system.value)?.get('little_endian') === false;
  const { value: root, end } = await readPickle(source, system.end, options);
  const keys = await readPickle(source, end, options);
  const types = new Map<string, DType | undefined>();
  for (const id of persistentIds(root)) {
    const [, type, key] = itemsOf(id) ?? [];
    if (typeof key === 'string') types.set(key, storageDtype(type));
  }
  const storages = new Map<string, TorchStorage>();
  let at = keys.end;
  for (const key of itemsOf(keys.value) ?? []) {
    const dtype = typeof key === 'string' ? types.get(key) : undefined;
    if (typeof key !== 'string' || !dtype || dtype === 'string') {
      throw new ParticlizeError({ file, place: `byte ${at}`, cause: `the storage ${String(key).slice(0, 80)} is of no type that Particlize reads` });
    }
    const count = await readInt64(source, at);
    const sizeBytes = count * bytesPerElement[dtype];
    if (!(count >= 0) || at + 8 + sizeBytes > source.sizeBytes) throw cut(file, at, `storage ${key} of ${count} elements`);
    storages.set(key, { key, source, offset: at + 8, sizeBytes, bigEndian });
    at += 8 + sizeBytes;
  }
  return {
    root,
    storage(id) {
      const [kind, type, key, , , view] = itemsOf(id) ?? [];
      if (kind !== 'storage' || typeof key !== 'string') throw oddStorage(file);
      const storage = storages.get(key);
      if (!storage) throw new ParticlizeError({ file, place: `storage ${key.slice(0, 80)}`, cause: 'the file does not hold it' });
      // Very old files cut a storage into views of it; the offset counts elements.
      const offset = itemsOf(view)?.[1];
      return { storage, dtype: storageDtype(type), offset: typeof offset === 'number' ? offset : 0 };
    },
  };
}

export const refusalAction = 'Save the weights alone: torch.save(model.state_dict(), path)';

/** The number with which every file of torch.save begins. */
const torchMagic = 0x1950a86a20f9469cfc6cn;

export function storageDtype(type: PickleValue | undefined): DType | undefined {
  if (!(type instanceof PyGlobal)) return undefined;
  return Object.hasOwn(storageDtypes, type.name) ? storageDtypes[type.name] : undefined;
}

/** Every persistent id in a value; containers that occur twice are looked through once. */
export function persistentIds(root: PickleValue): PickleValue[] {
  const ids: PickleValue[] = [];
  const seen = new Set<PickleValue>();
  const stack: PickleValue[] = [root];
  for (let value = stack.pop(); value !== undefined; value = stack.pop()) {
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    if (value instanceof PyPersistent) ids.push(value.id);
    if (value instanceof PyObject) {
      stack.push(value.args, ...(value.state === undefined ? [] : [value.state]));
      for (const item of value.items) stack.push(item);
    }
    for (const item of itemsOf(value) ?? []) stack.push(item);
    if (value instanceof PyDict || value instanceof PyObject) for (const [, item] of value.entries) stack.push(item);
  }
  return ids;
}

export async function readInt64(source: ByteSource, at: number): Promise<number> {
  if (at + 8 > source.sizeBytes) throw cut(source.name, at, 'the size of a storage');
  const bytes = await source.read(at, 8);
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(0, true));
}

export function cut(file: string, at: number, what: string): ParticlizeError {
  return new ParticlizeError({ file, place: `byte ${at}`, cause: `${what} does not fit into what is left of the file`, action: 'The file was cut off; download or copy it again' });
}

function oddStorage(file: string): ParticlizeError {
  return new ParticlizeError({ file, cause: 'a tensor refers to something that is no storage', action: 'The file may be damaged' });
}
