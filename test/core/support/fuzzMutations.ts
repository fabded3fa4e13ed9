import { unzipSync, zipSync } from 'fflate';

/** A damaged copy of a file: of its bytes anywhere, or of the structure that its container has. */
export function mutate(bytes: Uint8Array, random: () => number): Uint8Array {
  const rounds = 1 + Math.floor(random() * random() * 4);
  let result = bytes;
  for (let round = 0; round < rounds; round++) {
    const structured = random() < 0.55 ? mutateStructure(result, random) : undefined;
    result = structured && structured.length < bytes.length + largestGrowth ? structured : mutateBytes(result, random);
  }
  return result;
}

const largestGrowth = 1 << 20;

function mutateStructure(bytes: Uint8Array, random: () => number): Uint8Array | undefined {
  if (startsWith(bytes, [0x50, 0x4b, 3, 4])) return random() < 0.7 ? mutateEntry(bytes, random) : mutateDirectory(bytes, random);
  const first = bytes.find((byte) => byte > 0x20);
  if (first === 0x7b) return mutateJson(bytes, random);
  const header = safetensorsHeader(bytes);
  if (header) {
    const json = mutateJson(header, random);
    const length = new Uint8Array(8);
    // Now and then the length is left as it was.
    new DataView(length.buffer).setBigUint64(0, BigInt(random() < 0.85 ? json.length : header.length), true);
    return concat([length, json, bytes.subarray(8 + header.length)]);
  }
  const records = parseProto(bytes, 0);
  return records && encodeProto(mutateProto(records, random));
}

/** Numbers that lengths, counts and sizes should not be. */
const extremes = [0n, 1n, 2n, 0x7fn, 0x80n, 0xffn, 0xffffn, 0x7fffffffn, 0x80000000n, 0xffffffffn, 1n << 40n, (1n << 53n) - 1n, 1n << 60n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n];

function mutateBytes(bytes: Uint8Array, random: () => number): Uint8Array {
  const below = (limit: number): number => Math.floor(random() * limit);
  // Headers are where the meaning is.
  const place = (): number => {
    const near = Math.min(bytes.length, 4096);
    const where = random();
    return where < 0.4 ? below(near) : where < 0.6 ? bytes.length - 1 - below(near) : below(bytes.length);
  };
  const copy = bytes.slice();
  if (bytes.length === 0) return Uint8Array.of(below(256));
  const at = place();
  const run = Math.min(1 + below(below(2) ? 8 : 300), bytes.length - at);
  switch (below(9)) {
    case 0:
      for (let flips = 1 + below(8); flips > 0; flips--) copy[place()]! ^= 1 << below(8);
      return copy;
    case 1:
      for (let k = 0; k < run; k++) copy[at + k] = below(256);
      return copy;
    case 2:
      return copy.fill(below(2) ? 0xff : 0, at, at + run);
    case 3:
      return copy.slice(0, below(2) ? at : below(bytes.length));
    case 4: {
      const from = place();
      return concat([bytes.subarray(0, at), bytes.subarray(from, from + run), bytes.subarray(at)]);
    }
    case 5: {
      const from = place();
      copy.set(bytes.subarray(from, Math.min(from + run, from + bytes.length - at)), at);
      return copy;
    }
    case 6:
      return concat([bytes.subarray(0, at), bytes.subarray(at + run)]);
    default: {
      const size = 2 ** below(4);
      const value = below(4) ? extremes[below(extremes.length)]! : BigInt(bytes.length + below(5) - 2);
      for (let k = 0; k < size && at + k < copy.length; k++) {
        copy[at + (random() < 0.9 ? k : size - 1 - k)] = Number((value >> BigInt(8 * k)) & 0xffn);
      }
      return copy;
    }
  }
}

/** One entry changed, and the archive sound again around it. */
function mutateEntry(bytes: Uint8Array, random: () => number): Uint8Array | undefined {
  let entries: Record<string, Uint8Array>;
  try {
    // A size that was damaged before may claim anything.
    entries = unzipSync(bytes, { filter: ({ originalSize }) => originalSize < 1 << 22 });
  } catch {
    return undefined;
  }
  const names = Object.keys(entries);
  if (names.length === 0) return undefined;
  // Small entries are what says how the large ones are to be read.
  const order = [...names].sort((one, two) => entries[one]!.length - entries[two]!.length);
  const name = order[Math.floor(random() ** 2 * order.length)]!;
  const action = random();
  if (action < 0.06) delete entries[name];
  else if (action < 0.1) {
    entries[`${name}x`] = entries[name]!;
    delete entries[name];
  } else entries[name] = mutate(entries[name]!, random);
  return zipSync(entries, { level: random() < 0.7 ? 0 : 6, mtime: '2020-01-01' });
}

/** A field of the archive's directory or of its end. */
function mutateDirectory(bytes: Uint8Array, random: () => number): Uint8Array {
  const copy = bytes.slice();
  const marks: number[] = [];
  for (let at = 0; at + 4 < bytes.length; at++) {
    if (bytes[at] === 0x50 && bytes[at + 1] === 0x4b && [1, 3, 5, 6].includes(bytes[at + 2]!)) marks.push(at);
  }
  const at = marks[Math.floor(random() * marks.length)] ?? 0;
  const field = at + 4 + Math.floor(random() * 21) * 2;
  const value = extremes[Math.floor(random() * extremes.length)]!;
  for (let k = 0; k < (random() < 0.5 ? 2 : 4) && field + k < copy.length; k++) copy[field + k] = Number((value >> BigInt(8 * k)) & 0xffn);
  return copy;
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
const oddValues: readonly Json[] = [
  null, true, 0, -1, 1, 0.5, 1e9, 2 ** 31, 2 ** 53, 2 ** 60, 1e308, -1e308, '', '../other', '/etc/passwd', '__proto__', 'constructor', 'x'.repeat(5000), [], {}, [[]],
  [0], [-1], [1e9, 1e9], [2 ** 53, 2 ** 53], { length: 5 },
];

function mutateJson(bytes: Uint8Array, random: () => number): Uint8Array {
  const text = new TextDecoder().decode(bytes);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  let root: Json;
  try {
    root = JSON.parse(text) as Json;
  } catch {
    return mutateBytes(bytes, random);
  }
  if (random() < 0.08) {
    const odd = pick(['1e999', '99999999999999999999', 'NaN', '-0', '"\\ud800"', `${'['.repeat(3000)}${']'.repeat(3000)}`, '{"a":1,"a":2}', '1}']);
    const numbers = [...text.matchAll(/-?\d+(?:\.\d+)?/g)];
    if (numbers.length > 0) {
      const match = pick(numbers);
      return new TextEncoder().encode(text.slice(0, match.index) + odd + text.slice(match.index + match[0].length));
    }
  }
  const places: { parent: Json[] | { [key: string]: Json }; key: string | number }[] = [];
  const visit = (value: Json): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const key of Array.isArray(value) ? value.keys() : Object.keys(value)) {
      places.push({ parent: value, key });
      visit((value as Record<string | number, Json>)[key]!);
    }
  };
  visit(root);
  const get = ({ parent, key }: (typeof places)[number]): Json => (parent as Record<string | number, Json>)[key]!;
  const set = ({ parent, key }: (typeof places)[number], value: Json): void => void ((parent as Record<string | number, Json>)[key] = value);
  for (let edits = 1 + Math.floor(random() * 2); edits > 0 && places.length > 0; edits--) {
    const place = pick(places);
    const { parent, key } = place;
    switch (Math.floor(random() * 7)) {
      case 0:
        if (Array.isArray(parent)) parent.splice(key as number, 1);
        else delete parent[key];
        break;
      case 1:
        set(place, structuredClone(get(pick(places)) ?? null));
        break;
      case 2:
        // Copies of copies would make files of hundreds of megabytes, which say nothing new.
        if (Array.isArray(parent)) parent.push(...Array.from({ length: JSON.stringify(get(place) ?? null).length < 1000 ? pick([1, 2, 100]) : 1 }, () => structuredClone(get(place) ?? null)));
        else parent[pick(['__proto__', 'name', 'shape', 'class_name', 'config', String(get(pick(places))).slice(0, 20)])] = get(place);
        break;
      case 3: {
        let nested = get(place) ?? null;
        for (let depth = pick([1, 3, 2000]); depth > 0; depth--) nested = random() < 0.5 ? [nested] : { config: nested };
        set(place, nested);
        break;
      }
      case 4: {
        const value = get(place);
        set(place, typeof value === 'number' ? value + pick([-1, 1, 0.5, 2 ** 32]) : typeof value === 'string' ? `${value}${pick(['_1', '/', '\0'])}` : pick(oddValues));
        break;
      }
      default:
        set(place, structuredClone(pick(oddValues)));
    }
  }
  return new TextEncoder().encode(JSON.stringify(root));
}

interface ProtoNode {
  field: number;
  wire: number;
  /** Of wire types 1, 2 and 5. */
  body: Uint8Array;
  number: bigint;
  children?: ProtoNode[];
}

/** The records of a message, if that is what the bytes are. */
function parseProto(bytes: Uint8Array, depth: number): ProtoNode[] | undefined {
  const records: ProtoNode[] = [];
  let at = 0;
  const varint = (): bigint | undefined => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) return undefined;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return undefined;
  };
  while (at < bytes.length) {
    const tag = varint();
    if (tag === undefined || tag < 8n || tag > 0x8000n) return undefined;
    const node: ProtoNode = { field: Number(tag >> 3n), wire: Number(tag & 7n), body: new Uint8Array(0), number: 0n };
    const length = node.wire === 0 ? 0n : node.wire === 1 ? 8n : node.wire === 5 ? 4n : node.wire === 2 ? varint() : undefined;
    if (length === undefined || BigInt(at) + length > BigInt(bytes.length)) return undefined;
    if (node.wire === 0) {
      const value = varint();
      if (value === undefined) return undefined;
      node.number = value;
    }
    node.body = bytes.subarray(at, at + Number(length));
    at += Number(length);
    if (node.wire === 2 && depth < 8 && node.body.length > 1 && node.body.length < 1 << 20) node.children = parseProto(node.body, depth + 1);
    records.push(node);
  }
  return records;
}

function mutateProto(records: ProtoNode[], random: () => number): ProtoNode[] {
  const all: { list: ProtoNode[]; node: ProtoNode }[] = [];
  const visit = (list: ProtoNode[]): void => {
    for (const node of list) {
      all.push({ list, node });
      if (node.children) visit(node.children);
    }
  };
  visit(records);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  if (all.length === 0) return records;
  const { list, node } = pick(all);
  const index = list.indexOf(node);
  switch (Math.floor(random() * 8)) {
    case 0:
      list.splice(index, 1);
      break;
    case 1:
      for (let copies = pick([1, 1, 50]); copies > 0; copies--) list.splice(index, 0, node);
      break;
    case 2: {
      // Never into itself.
      const other = pick(all).node;
      list.splice(index, 1, { ...other, children: undefined, body: other.children ? encodeProto(other.children) : other.body, field: node.field });
      break;
    }
    case 3:
      node.field = pick([node.field + 1, 1, 2, 5, 16, 200]);
      break;
    case 4:
      node.wire = pick([0, 1, 2, 3, 4, 5, 7]);
      break;
    case 5: {
      // A message within itself, many times.
      if (node.wire !== 2) break;
      let body = node.children ? encodeProto(node.children) : node.body;
      for (let depth = pick([2, 60, 300]); depth > 0 && body.length < 1 << 20; depth--) body = encodeProto([{ field: node.field, wire: 2, body, number: 0n }]);
      node.children = undefined;
      node.body = body;
      break;
    }
    default:
      if (node.wire === 0) node.number = pick([...extremes, node.number + 1n]);
      else if (node.wire === 2) {
        node.body = mutateBytes(node.body.length > 0 ? node.body : Uint8Array.of(0), random);
        node.children = undefined;
      } else node.body = node.body.map(() => Math.floor(random() * 256));
  }
  return records;
}

function encodeProto(records: readonly ProtoNode[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { field, wire, body, number, children } of records) {
    parts.push(varintBytes((BigInt(field) << 3n) | BigInt(wire)));
    if (wire === 0) parts.push(varintBytes(number));
    const inner = children ? encodeProto(children) : body;
    if (wire === 2) parts.push(varintBytes(BigInt(inner.length)));
    if (wire !== 0) parts.push(inner);
  }
  return concat(parts);
}

function varintBytes(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Uint8Array.from([...bytes, Number(rest)]);
}

function safetensorsHeader(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length < 10 || bytes[8] !== 0x7b) return undefined;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  return length <= BigInt(bytes.length - 8) ? bytes.subarray(8, 8 + Number(length)) : undefined;
}

function startsWith(bytes: Uint8Array, start: readonly number[]): boolean {
  return start.every((byte, index) => bytes[index] === byte);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
