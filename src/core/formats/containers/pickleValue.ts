/**
 * What a pickle says, as inert data. None is null, int is a number (a bigint beyond 2^53), float is a PyFloat, str a
 * string, bytes a Uint8Array; the rest are the classes below. Nothing in here was ever called.
 */
export type PickleValue =
  | null | boolean | number | bigint | string | Uint8Array
  | PyFloat | PyList | PyTuple | PyDict | PySet | PyGlobal | PyObject | PyPersistent;

export class PyFloat {
  constructor(readonly value: number) {}
}

export class PyList {
  constructor(readonly items: PickleValue[] = []) {}
}

export class PyTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

/** In the order of the file; a key that comes again replaces its value, as in Python. */
export class PyDict {
  private map: Map<PickleValue, PickleValue> | undefined;

  get entries(): ReadonlyMap<PickleValue, PickleValue> {
    return this.map ?? noEntries;
  }

  set(key: PickleValue, value: PickleValue): void {
    (this.map ??= new Map()).set(key, value);
  }

  get(key: string): PickleValue | undefined {
    return this.map?.get(key);
  }
}

export class PySet {
  constructor(readonly items: PickleValue[] = [], readonly frozen = false) {}
}

/** A name that the pickle refers to, as 'module.name'. */
export class PyGlobal {
  constructor(readonly module: string, readonly name: string) {}

  get path(): string {
    return `${this.module}.${this.name}`;
  }
}

/** "Call `callable` with `args`, set `state`, add items": what the pickle wants done, kept as a description. */
export class PyObject {
  state: PickleValue | undefined;
  readonly items: PickleValue[] = [];
  private map: Map<PickleValue, PickleValue> | undefined;

  constructor(readonly callable: PyGlobal, readonly args: PickleValue, readonly how: 'reduce' | 'new') {}

  get entries(): ReadonlyMap<PickleValue, PickleValue> {
    return this.map ?? noEntries;
  }

  set(key: PickleValue, value: PickleValue): void {
    (this.map ??= new Map()).set(key, value);
  }
}

/** Maps are large even when they are empty, and a hostile file may have millions. */
const noEntries: ReadonlyMap<PickleValue, PickleValue> = new Map();

/** A reference to something outside the pickle (a tensor's storage). */
export class PyPersistent {
  constructor(readonly id: PickleValue) {}
}

/** Items of a list or tuple; undefined for everything else. */
export function itemsOf(value: PickleValue | undefined): readonly PickleValue[] | undefined {
  return value instanceof PyTuple || value instanceof PyList ? value.items : undefined;
}

/** Entries of a dict or of an OrderedDict (however it was filled); undefined for everything else. */
export function entriesOf(value: PickleValue | undefined): ReadonlyMap<PickleValue, PickleValue> | undefined {
  if (value instanceof PyDict) return value.entries;
  if (!(value instanceof PyObject) || !dictLike.has(value.callable.path)) return undefined;
  // Old ones are OrderedDict([(key, value), ...]), newer ones are filled entry by entry.
  const given = itemsOf(itemsOf(value.args)?.find((argument) => itemsOf(argument) || argument instanceof PyDict));
  const pairs = (given ?? []).flatMap((pair): [PickleValue, PickleValue][] => {
    const items = itemsOf(pair);
    return items?.length === 2 ? [[items[0]!, items[1]!]] : [];
  });
  const [first] = itemsOf(value.args) ?? [];
  return new Map([...(first instanceof PyDict ? first.entries : []), ...pairs, ...value.entries]);
}

const dictLike = new Set(['collections.OrderedDict', 'collections.defaultdict', 'collections.Counter']);
