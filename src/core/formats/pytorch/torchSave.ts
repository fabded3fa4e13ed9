import { bytesPerElement, elementCount, type Tensor } from '../../graph/tensor';
import type { ModelGraph } from '../../graph/modelGraph';
import { writePickle } from '../containers/pickleWriter';
import { itemsOf, PyGlobal, PyObject, PyPersistent, PyTuple, type PickleValue } from '../containers/pickleValue';
import { copied, zipFile, type ZipPart } from '../containers/zipWriter';
import type { SavedFile } from '../format';
import { bytesOf } from '../onnx/onnxTensors';
import type { TorchFile } from './torchFile';
import { contiguousStrides, swapBytes, type TorchStorage, type TorchView } from './torchStorage';
import { isLeftOut, storageId, type TorchTensor, type TorchTensors } from './torchTensors';
import { storageDtypes } from './torchTypes';

export interface TorchOrigin {
  readonly source: TorchStorage['source'];
  readonly file: TorchFile;
  readonly found: TorchTensors;
}

/**
 * The changed file in torch's zip form, readable with weights_only: the same nesting, changed tensors in storages of their
 * own, gone tensors left out, every other record copied as it is. Old (legacy, tar) files become zip files.
 */
export async function saveTorch(original: ModelGraph, graph: ModelGraph, mainName: string): Promise<readonly SavedFile[]> {
  const { source, file, found } = original.origin as TorchOrigin;
  const changes = changesOf(original, graph, found);
  if (changes.size === 0) {
    return [{ name: mainName, sizeBytes: source.sizeBytes, chunks: () => copied(source, 0, source.sizeBytes) }];
  }
  const saving = new Saving(file, found, changes, mainName);
  const parts = saving.parts();
  return [{ name: mainName, ...zipFile(parts) }];
}

/** What becomes of the calls that make tensors: another tensor, or nothing. */
type Changes = ReadonlyMap<PyObject, { readonly tensor: Tensor | undefined; readonly old: TorchTensor }>;

function changesOf(original: ModelGraph, graph: ModelGraph, found: TorchTensors): Changes {
  const changes = new Map<PyObject, { tensor: Tensor | undefined; old: TorchTensor }>();
  for (const [name, old] of found.tensors) {
    const tensor = graph.tensors.get(name);
    if (tensor !== original.tensors.get(name)) changes.set(old.object, { tensor, old });
  }
  return changes;
}

class Saving {
  private readonly records = new Map<string, ZipPart>();
  private readonly replaced = new Map<PyObject, PickleValue>();
  private readonly prefix: string;
  private readonly taken: Set<string>;

  constructor(private readonly file: TorchFile, private readonly found: TorchTensors, private readonly changes: Changes, mainName: string) {
    this.prefix = file.archive?.prefix ?? `${mainName.replace(/\.[^.]*$/, '')}/`;
    this.taken = new Set(this.all().map(({ view }) => view.storage.key));
  }

  parts(): ZipPart[] {
    const bigEndian = this.file.archive?.bigEndian ?? false;
    for (const one of this.all()) this.keep(one);
    for (const [object, { tensor, old }] of this.changes) if (tensor) this.replace(object, tensor, old, bigEndian);
    const pickle = writePickle(this.file.root, {
      replace: (value) => (value instanceof PyObject ? this.replaced.get(value) ?? value : value),
      drops: (value) => isLeftOut(value) || this.isGone(unwrap(value)),
    });
    const own = (name: string, bytes: Uint8Array): ZipPart => ({ name, sizeBytes: bytes.length, read: () => Promise.resolve(bytes) });
    const description = own(`${this.prefix}data.pkl`, pickle);
    if (!this.file.archive) {
      const ascii = new TextEncoder();
      return [
        description, own(`${this.prefix}byteorder`, ascii.encode('little')), ...this.records.values(),
        own(`${this.prefix}version`, ascii.encode('3\n')),
      ];
    }
    const { zip } = this.file.archive;
    const parts: ZipPart[] = [];
    for (const entry of zip.entries.values()) {
      const isStorage = entry.name.startsWith(`${this.prefix}data/`);
      if (entry.name === description.name) parts.push(description);
      else if (!isStorage) parts.push({ name: entry.name, copy: entry, from: zip });
      else {
        const record = this.records.get(entry.name);
        if (record) parts.push(record);
        this.records.delete(entry.name);
      }
    }
    return [...parts, ...this.records.values()];
  }

  private isGone(value: PickleValue): boolean {
    const change = value instanceof PyObject ? this.changes.get(value) : undefined;
    return change !== undefined && change.tensor === undefined;
  }

  private all(): TorchTensor[] {
    return [...this.found.tensors.values(), ...this.found.others];
  }

  /** A storage that an unchanged tensor looks into stays as it is. */
  private keep({ object, view }: TorchTensor): void {
    if (this.changes.has(object)) return;
    const { storage } = view;
    const name = `${this.prefix}data/${storage.key}`;
    const entry = this.file.archive?.zip.entries.get(name);
    if (entry) this.records.set(name, { name, copy: entry, from: this.file.archive!.zip });
    if (this.file.archive) return;
    this.records.set(name, { name, sizeBytes: storage.sizeBytes, read: () => littleEndian(view) });
    this.replaced.set(object, this.rebuilt(object, view, { key: storage.key, offset: view.offset, strides: view.strides, shape: view.shape, storageBytes: storage.sizeBytes }));
  }

  private replace(object: PyObject, tensor: Tensor, old: TorchTensor, bigEndian: boolean): void {
    // The old record's place is free when nothing unchanged looks into it and no other tensor took it.
    let { key } = old.view.storage;
    if (this.records.has(`${this.prefix}data/${key}`)) {
      for (let number = this.taken.size; this.taken.has((key = String(number))); number++);
      this.taken.add(key);
    }
    const name = `${this.prefix}data/${key}`;
    const sizeBytes = elementCount(tensor.shape) * bytesPerElement[old.view.dtype];
    this.records.set(name, {
      name, sizeBytes,
      read: async () => {
        const bytes = bytesOf(await tensor.read());
        if (!bigEndian) return bytes;
        const turned = bytes.slice();
        swapBytes(turned, old.view.dtype);
        return turned;
      },
    });
    const place = { key, offset: 0, shape: tensor.shape, strides: contiguousStrides(tensor.shape), storageBytes: sizeBytes };
    this.replaced.set(object, this.rebuilt(object, old.view, place));
  }

  /** The call that makes a tensor, with another storage, place, shape or strides. */
  private rebuilt(object: PyObject, view: TorchView, place: Place): PyObject {
    const args = itemsOf(object.args)!;
    const id = itemsOf(storageId(args[0]))!;
    const type = id[1] instanceof PyGlobal && Object.hasOwn(storageDtypes, id[1].name) ? new PyGlobal('torch', id[1].name) : storageOf(view);
    const untyped = type.name === 'UntypedStorage';
    const elements = untyped ? place.storageBytes : place.storageBytes / bytesPerElement[view.dtype];
    const storage = new PyPersistent(new PyTuple(['storage', untyped ? id[1]! : type, place.key, id[3] ?? 'cpu', elements]));
    const rest = args.length > 4 ? args.slice(4) : [false, new PyObject(new PyGlobal('collections', 'OrderedDict'), new PyTuple([]), 'reduce')];
    const call = object.callable.name === '_rebuild_tensor' ? new PyGlobal('torch._utils', '_rebuild_tensor_v2') : object.callable;
    return new PyObject(call, new PyTuple([storage, place.offset, new PyTuple(place.shape), new PyTuple(place.strides), ...rest]), object.how);
  }
}

interface Place {
  readonly key: string;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly storageBytes: number;
}

function storageOf(view: TorchView): PyGlobal {
  const name = Object.keys(storageDtypes).find((key) => storageDtypes[key] === view.dtype && key !== 'UntypedStorage');
  return new PyGlobal('torch', name ?? 'UntypedStorage');
}

async function littleEndian({ storage, dtype }: TorchView): Promise<Uint8Array> {
  const bytes = await storage.source.read(storage.offset, storage.sizeBytes);
  if (!storage.bigEndian) return bytes;
  const turned = bytes.slice();
  swapBytes(turned, dtype);
  return turned;
}

/** A parameter is a call around the call that makes its tensor. */
function unwrap(value: PickleValue): PickleValue {
  if (!(value instanceof PyObject) || !value.callable.name.startsWith('_rebuild_parameter')) return value;
  return itemsOf(value.args)?.[0] ?? value;
}
