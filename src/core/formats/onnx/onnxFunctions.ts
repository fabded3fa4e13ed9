import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { messagesOf, numberOf, recordsOf, textOf, textsOf, type ProtoMessage, type ProtoRecord } from '../containers/protobuf';
import { Chunks, encodeField, encodeMessage, patchMessage } from '../containers/protobufWriter';
import { onnxTypes } from './onnxSchema';

/**
 * The same model without functions of its own: every node that calls one is replaced by the nodes that the function consists
 * of, so that everything behind sees operators only. The file as it is when it has none. What is not touched stays where it
 * lies; weights are not read. Throws a ParticlizeError when a function calls itself or grows beyond all bounds.
 */
export function inlineFunctions(source: ByteSource, model: ProtoMessage): ByteSource {
  const functions = messagesOf(model, 'functions');
  const [graph] = recordsOf(model, 'graph');
  if (!functions.length || !graph) return source;
  const inlined = new Inliner(source, functions).graph(graph.value as ProtoMessage, plainScope);
  const edits = new Map<ProtoRecord, Chunks | undefined>(recordsOf(model, 'functions').map((record) => [record, undefined]));
  edits.set(graph, encodeField(new Chunks(), onnxTypes.ModelProto.byName.get('graph')!, inlined));
  return sourceOf(source.name, patchMessage(source, model, edits, { opset_import: missingSets(source, model, functions) }));
}

/** How names of a function's body are called where it is put. */
interface Scope {
  readonly prefix: string;
  readonly names: ReadonlyMap<string, string>;
  /** Attributes of the call, by name. */
  readonly attributes: ReadonlyMap<string, ProtoMessage>;
  readonly calls: readonly string[];
  /** Names of the file itself stay as they are. */
  readonly keep: boolean;
}

const plainScope: Scope = { prefix: '', names: new Map(), attributes: new Map(), calls: [], keep: true };
const mostNodes = 100_000;

class Inliner {
  private readonly functions: ReadonlyMap<string, ProtoMessage>;
  private made = 0;
  private counter = 0;

  constructor(private readonly source: ByteSource, functions: readonly ProtoMessage[]) {
    this.functions = new Map(functions.map((one) => [keyOf(textOf(one, 'domain'), textOf(one, 'name'), textOf(one, 'overload')), one]));
  }

  /** A graph with its calls replaced; what a nested one of a function defines is called like everything else in there. */
  graph(graph: ProtoMessage, scope: Scope): Chunks {
    const edits = new Map<ProtoRecord, Chunks | undefined>();
    for (const record of recordsOf(graph, 'node')) edits.set(record, this.node(record.value as ProtoMessage, scope));
    for (const field of scope.keep ? [] : ['input', 'output', 'value_info', 'initializer']) {
      for (const record of recordsOf(graph, field)) {
        const message = record.value as ProtoMessage;
        const name = textOf(message, 'name');
        edits.set(record, this.field('GraphProto', field, this.renamed(message, new Map([[name, this.nameIn(scope, name)]]))));
      }
    }
    return patchMessage(this.source, graph, edits);
  }

  /** The field of one node, or those of the nodes that a call stands for. */
  private node(node: ProtoMessage, scope: Scope): Chunks {
    if (++this.made > mostNodes) throw this.error('its functions call each other so often that the model has no end');
    const key = keyOf(textOf(node, 'domain'), textOf(node, 'op_type'), textOf(node, 'overload'));
    const called = this.functions.get(key);
    if (called) return this.call(node, called, key, scope);
    const edits = new Map<ProtoRecord, Chunks | undefined>();
    for (const field of ['input', 'output'] as const) {
      for (const record of recordsOf(node, field)) edits.set(record, this.field('NodeProto', field, this.nameIn(scope, record.value as string)));
    }
    for (const record of recordsOf(node, 'name')) if (scope.prefix) edits.set(record, this.field('NodeProto', 'name', `${scope.prefix}${record.value as string}`));
    for (const record of recordsOf(node, 'attribute')) {
      const attribute = this.attribute(record.value as ProtoMessage, scope);
      edits.set(record, attribute && this.field('NodeProto', 'attribute', attribute));
    }
    return this.field('GraphProto', 'node', patchMessage(this.source, node, edits));
  }

  private call(node: ProtoMessage, called: ProtoMessage, key: string, scope: Scope): Chunks {
    const title = textOf(called, 'name');
    if (scope.calls.includes(key)) throw this.error(`its function ${title} calls itself`);
    const name = textOf(node, 'name') || `${title}_${this.counter}`;
    this.counter++;
    const names = new Map<string, string>();
    // An argument that is left out is absent inside as well.
    textsOf(called, 'input').forEach((formal, index) => names.set(formal, this.nameIn(scope, textsOf(node, 'input')[index] ?? '')));
    const prefix = `${scope.prefix}${name}/`;
    textsOf(called, 'output').forEach((formal, index) => {
      const actual = textsOf(node, 'output')[index];
      // A result that nobody reads still needs a name; one that is an argument passed on keeps that one (see below).
      if (!names.has(formal)) names.set(formal, actual ? this.nameIn(scope, actual) : `${prefix}${formal}`);
    });
    const attributes = new Map(messagesOf(called, 'attribute_proto').map((attribute) => [textOf(attribute, 'name'), attribute]));
    const given = new Map(messagesOf(node, 'attribute').flatMap((attribute) => {
      const reference = textOf(attribute, 'ref_attr_name');
      const value = reference ? scope.attributes.get(reference) : attribute;
      return value ? [[textOf(attribute, 'name'), value] as const] : [];
    }));
    const inside: Scope = { prefix, names, attributes: new Map([...attributes, ...given]), calls: [...scope.calls, key], keep: false };
    const out = new Chunks();
    for (const inner of messagesOf(called, 'node')) out.addAll(this.node(inner, inside));
    textsOf(called, 'output').forEach((formal, index) => {
      const actual = textsOf(node, 'output')[index];
      if (!actual || !textsOf(called, 'input').includes(formal)) return;
      out.addAll(this.field('GraphProto', 'node', encodeMessage(onnxTypes.NodeProto, {
        op_type: 'Identity', name: `${prefix}Identity_${index}`, input: [names.get(formal)!], output: [this.nameIn(scope, actual)],
      })));
    });
    return out;
  }

  /** An attribute as it is in this call; undefined when it refers to one that the call does not give. */
  private attribute(attribute: ProtoMessage, scope: Scope): Chunks | undefined {
    const reference = textOf(attribute, 'ref_attr_name');
    if (reference) {
      const value = scope.attributes.get(reference);
      return value && this.renamed(value, new Map([[textOf(value, 'name'), textOf(attribute, 'name')]]));
    }
    const edits = new Map<ProtoRecord, Chunks | undefined>();
    for (const field of ['g', 'graphs'] as const) {
      for (const record of recordsOf(attribute, field)) edits.set(record, this.field('AttributeProto', field, this.graph(record.value as ProtoMessage, scope)));
    }
    return patchMessage(this.source, attribute, edits);
  }

  private renamed(message: ProtoMessage, names: ReadonlyMap<string, string>): Chunks {
    const edits = new Map<ProtoRecord, Chunks | undefined>();
    for (const record of recordsOf(message, 'name')) {
      edits.set(record, encodeField(new Chunks(), message.type.byName.get('name')!, names.get(record.value as string) ?? (record.value as string)));
    }
    return patchMessage(this.source, message, edits);
  }

  private nameIn(scope: Scope, name: string): string {
    if (!name || scope.keep) return name;
    return scope.names.get(name) ?? `${scope.prefix}${name}`;
  }

  private field(owner: 'GraphProto' | 'NodeProto' | 'AttributeProto', name: string, value: string | Chunks): Chunks {
    return encodeField(new Chunks(), onnxTypes[owner].byName.get(name)!, value);
  }

  private error(cause: string): ParticlizeError {
    return new ParticlizeError({ file: this.source.name, cause, action: 'Export the model again' });
  }
}

/** Operator sets that only functions name. Throws when a function is written in another version of one than the model. */
function missingSets(source: ByteSource, model: ProtoMessage, functions: readonly ProtoMessage[]): { domain: string; version: number }[] {
  const setsOf = (message: ProtoMessage): (readonly [string, number])[] => messagesOf(message, 'opset_import')
    .map((entry) => [textOf(entry, 'domain').replace(/^ai\.onnx$/, ''), numberOf(entry, 'version') ?? 0] as const);
  const known = new Map(setsOf(model));
  const own = new Set(functions.map((one) => textOf(one, 'domain')));
  const missing: { domain: string; version: number }[] = [];
  for (const one of functions) {
    for (const [domain, version] of setsOf(one)) {
      const before = known.get(domain);
      if (before === undefined) missing.push({ domain, version });
      else if (before !== version && !own.has(domain)) {
        throw new ParticlizeError({
          file: source.name, place: `function ${textOf(one, 'name')}`,
          cause: `it is written in operator set ${version} of '${domain || 'ai.onnx'}', and the model in ${before}`,
          action: 'Export the model with one version for all of it',
        });
      }
      known.set(domain, before ?? version);
    }
  }
  return missing;
}

function keyOf(domain: string, name: string, overload: string): string {
  return `${domain === 'ai.onnx' ? '' : domain}\0${name}\0${overload}`;
}

/** A file made of pieces, read by range like any other. */
function sourceOf(name: string, chunks: Chunks): ByteSource {
  const starts: number[] = [];
  let sizeBytes = 0;
  for (const chunk of chunks.list) {
    starts.push(sizeBytes);
    sizeBytes += chunk instanceof Uint8Array ? chunk.length : 'source' in chunk ? chunk.end - chunk.start : chunk.sizeBytes;
  }
  return {
    name, sizeBytes,
    async read(offset, length) {
      const result = new Uint8Array(length);
      let low = 0;
      for (let high = starts.length - 1; low < high;) {
        const middle = (low + high + 1) >> 1;
        if (starts[middle]! <= offset) low = middle;
        else high = middle - 1;
      }
      for (let index = low; index < starts.length && starts[index]! < offset + length; index++) {
        const chunk = chunks.list[index]!;
        const from = Math.max(0, offset - starts[index]!);
        const end = Math.min((starts[index + 1] ?? sizeBytes) - starts[index]!, offset + length - starts[index]!);
        if (chunk instanceof Uint8Array) result.set(chunk.subarray(from, end), starts[index]! + from - offset);
        else if ('source' in chunk) result.set(await chunk.source.read(chunk.start + from, end - from), starts[index]! + from - offset);
      }
      return result;
    },
  };
}

