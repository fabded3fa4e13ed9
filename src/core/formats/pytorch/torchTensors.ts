import { ParticlizeError, type Finding } from '../../graph/errors';
import { unique } from '../../graph/finishGraph';
import { lookUp } from '../../graph/lookUp';
import type { DType, Tensor } from '../../graph/tensor';
import { entriesOf, itemsOf, PyGlobal, PyObject, PyPersistent, PyTuple, type PickleValue } from '../containers/pickleValue';
import type { TorchFile } from './torchFile';
import { tensorOfView, type TorchView } from './torchStorage';
import { isPlainName, storageDtypes, torchDtypes } from './torchTypes';

/** A tensor of the model and the call in the pickle that makes it. */
export interface TorchTensor {
  readonly tensor: Tensor;
  readonly view: TorchView;
  readonly object: PyObject;
}

export interface TorchTensors {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Tensors elsewhere in the file (an optimiser's), which a copy keeps. */
  readonly others: readonly TorchTensor[];
  readonly findings: readonly Finding[];
}

/**
 * The weights in what torch.save wrote: a state dict itself, or inside a checkpoint under the name that people give it
 * ('state_dict', 'model', ...). Throws a ParticlizeError when a tensor leaves its storage.
 */
export function torchTensors(fileName: string, file: TorchFile): TorchTensors {
  const findings: Finding[] = [];
  const all = new Collector(fileName, file, findings).collect();
  const prefix = weightsPrefix(all.map(({ path }) => path));
  const tensors = new Map<string, TorchTensor>();
  const others: TorchTensor[] = [];
  const skipped = new Set<string>();
  const names = new Set<string>();
  for (const { path, ...found } of all) {
    const inside = prefix.every((step, index) => path[index] === step) && (prefix.length > 0 || !bookkeeping.test(path[0] ?? ''));
    const wanted = inside ? path.slice(prefix.length).join('.') || 'tensor' : path.join('.');
    const make = (name: string): TorchTensor => ({ ...found, tensor: tensorOfView(fileName, name, found.view) });
    if (inside) {
      const name = unique(wanted, names);
      tensors.set(name, make(name));
    } else {
      others.push(make(wanted));
      skipped.add(path[0]!);
    }
  }
  if (skipped.size) {
    findings.push({
      severity: 'info', place: [...skipped].join(', '),
      message: `tensors outside the model's weights (${others.length}) are not shown; a saved copy keeps them as they are`,
    });
  }
  findings.push(...unkept(file.root));
  return { tensors, others, findings };
}

/** Whether a value is something that torch would not load with weights_only, so that a copy leaves it out. */
export function isLeftOut(value: PickleValue): boolean {
  return (value instanceof PyObject && !isPlainName(value.callable.path)) || (value instanceof PyGlobal && !isPlainName(value.path));
}

interface Found {
  readonly path: readonly string[];
  readonly view: TorchView;
  readonly object: PyObject;
}

const maxDepth = 100;
const weightNames = ['state_dict', 'model_state_dict', 'model', 'module', 'net', 'network', 'weights', 'params', 'model_state', 'model_weights', 'params_ema', 'ema', 'generator'];
const bookkeeping = /optim|sched|scaler|^(loops|callbacks|rng_state|hyper_parameters|args|cfg|config|history)$/i;

/** Steps from the root of a checkpoint to the dict of weights; none when the root is that dict, or there are several. */
function weightsPrefix(paths: readonly (readonly string[])[]): string[] {
  const prefix: string[] = [];
  for (;;) {
    const inside = paths.filter((path) => prefix.every((step, index) => path[index] === step));
    const depth = prefix.length;
    const children = new Set(inside.filter((path) => path.length > depth + 1).map((path) => path[depth]!));
    const named = weightNames.find((name) => children.has(name));
    const direct = inside.some((path) => path.length === depth + 1 && path[depth]!.includes('.'));
    const rest = new Set(inside.map((path) => path[depth]!).filter((step) => !bookkeeping.test(step)));
    // One child whose names have dots is a wrapper; names without dots may be modules of a model that is nested itself.
    const [only] = rest;
    const wrapper = rest.size === 1 && only !== undefined && children.has(only)
      && inside.some((path) => path[depth] === only && path[depth + 1]!.includes('.'));
    const next = direct ? undefined : named && isWrapper(inside, depth, named, rest) ? named : wrapper ? only : undefined;
    if (next === undefined) return prefix;
    prefix.push(next);
  }
}

/** 'model' may be a checkpoint's entry or a module of the model; it is an entry when names with dots, or none beside it, say so. */
function isWrapper(inside: readonly (readonly string[])[], depth: number, name: string, beside: ReadonlySet<string>): boolean {
  if (/state|weights|params/.test(name)) return true;
  return inside.some((path) => path[depth] === name && path[depth + 1]?.includes('.')) || beside.size === 1;
}

class Collector {
  private readonly found: Found[] = [];
  private readonly done = new Set<PickleValue>();

  constructor(private readonly fileName: string, private readonly file: TorchFile, private readonly findings: Finding[]) {}

  collect(): readonly Found[] {
    this.visit(this.file.root, []);
    return this.found;
  }

  private visit(value: PickleValue, path: readonly string[]): void {
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
    if (path.length > maxDepth) {
      throw new ParticlizeError({ file: this.fileName, place: path.slice(0, 3).join('.'), cause: `values are nested more than ${maxDepth} deep` });
    }
    const tensor = value instanceof PyObject ? this.tensor(value, path) : undefined;
    if (tensor) {
      this.found.push({ path, ...tensor });
      return;
    }
    // A dict that occurs twice is shown once; one that holds itself would never end.
    if (this.done.has(value)) return;
    this.done.add(value);
    for (const [key, item] of this.children(value)) this.visit(item, [...path, key]);
  }

  private children(value: PickleValue): [string, PickleValue][] {
    const entries = entriesOf(value) ?? (value instanceof PyObject && value.state !== undefined ? entriesOf(value.state) : undefined);
    if (entries) return [...entries].map(([key, item]) => [textOf(key), item]);
    const items = itemsOf(value) ?? (value instanceof PyObject ? itemsOf(value.state) : undefined);
    return (items ?? []).map((item, index) => [String(index), item]);
  }

  private tensor(object: PyObject, path: readonly string[]): { view: TorchView; object: PyObject } | undefined {
    const call = object.callable.path;
    const args = itemsOf(object.args) ?? [];
    if (call === 'torch._utils._rebuild_parameter' || call === 'torch._utils._rebuild_parameter_with_state') {
      return args[0] instanceof PyObject ? this.tensor(args[0], path) : undefined;
    }
    if (/^torch\._utils\._rebuild_(qtensor|sparse|meta)/.test(call)) {
      const what = call.includes('qtensor') ? 'quantised' : call.includes('sparse') ? 'sparse' : 'without elements';
      this.findings.push({ severity: 'warning', place: path.join('.'), message: `this tensor is ${what}, which Particlize does not read yet; it is not shown` });
      return undefined;
    }
    if (!/^torch\._utils\._rebuild_tensor(_v2|_v3)?$/.test(call)) return undefined;
    const name = path.join('.') || 'tensor';
    const fail = (cause: string): never => {
      throw new ParticlizeError({ file: this.fileName, place: `tensor ${name}`, cause, action: 'The file may be damaged' });
    };
    const [reference, offset, size, stride] = args;
    const id = storageId(reference);
    if (id === undefined) return fail('it refers to no storage');
    const { storage, dtype: storageType, offset: base } = this.file.storage(id);
    const dtype: DType | undefined = call.endsWith('_v3') && args[6] instanceof PyGlobal ? lookUp(torchDtypes, args[6].name) : storageType;
    if (!dtype || dtype === 'string') {
      const type = itemsOf(id)?.[1];
      const known = type instanceof PyGlobal && Object.hasOwn(storageDtypes, type.name);
      this.findings.push({
        severity: 'warning', place: name,
        message: `this tensor's elements (${type instanceof PyGlobal && !known ? type.path : 'of unknown type'}) are of a type that Particlize does not read; it is not shown`,
      });
      return undefined;
    }
    const [shape, strides, places] = [numbers(size), numbers(stride), numbers(new PyTuple([offset ?? null]))];
    if (!places || !shape || !strides) return fail('its shape and place are not given as numbers');
    return { object, view: { storage, dtype, offset: base + places[0]!, shape, strides } };
  }
}

/** What names a tensor's storage: a persistent id, or in some hand-made files the tuple itself. */
export function storageId(reference: PickleValue | undefined): PickleValue | undefined {
  if (reference instanceof PyPersistent) return reference.id;
  return itemsOf(reference)?.[0] === 'storage' ? reference : undefined;
}

/** Sizes, as a tuple or as torch.Size makes one. */
function numbers(value: PickleValue | undefined): readonly number[] | undefined {
  const items = itemsOf(value) ?? (value instanceof PyObject ? itemsOf(itemsOf(value.args)?.[0]) : undefined);
  return items?.every((item): item is number | bigint => typeof item === 'number' || typeof item === 'bigint') ? items.map(Number) : undefined;
}

function textOf(key: PickleValue): string {
  return typeof key === 'string' || typeof key === 'number' || typeof key === 'bigint' ? String(key).slice(0, 1000) : '?';
}

/** Entries that a saved copy has to leave out, since torch.load(weights_only=True) would refuse the file for them. */
function unkept(root: PickleValue): Finding[] {
  const findings: Finding[] = [];
  for (const [key, value] of entriesOf(root) ?? []) {
    if (!isLeftOut(value)) continue;
    const type = value instanceof PyObject ? value.callable.path : (value as PyGlobal).path;
    findings.push({ severity: 'info', place: textOf(key), message: `this entry is of type ${type}; a saved copy leaves it out, so that torch.load(weights_only=True) can read it` });
  }
  return findings;
}
