import { readsOf } from '../../graph/attributes';
import type { ByteSource, FileSet } from '../../graph/byteSource';
import { ParticlizeError, type Finding } from '../../graph/errors';
import { baseOpset, finishGraph, inOrder, unique, type GraphDraft } from '../../graph/finishGraph';
import type { Attribute, Dim, GraphNode, ValueInfo } from '../../graph/modelGraph';
import { tensorOf, type DType, type NdArray, type Tensor } from '../../graph/tensor';
import {
  messageOf, messagesOf, numberOf, readProto, recordsOf, textOf, textsOf, type ProtoMessage, type ProtoRecord,
} from '../containers/protobuf';
import { patchMessage } from '../containers/protobufWriter';
import { attributeOf } from './onnxAttributes';
import { nodeMessage, tensorMessage } from './onnxEncode';
import { foldNode, type FoldedNode } from './onnxFold';
import { inlineFunctions } from './onnxFunctions';
import { layersOf } from './onnxLayers';
import { dtypeOfCode, onnxTypes } from './onnxSchema';
import { externalLocation, tensorOfProto, type ExternalPlace } from './onnxTensors';

/** What the writer needs to know of the file that a graph came from. */
export interface OnnxOrigin {
  readonly source: ByteSource;
  readonly model: ProtoMessage;
  readonly graph: ProtoMessage;
  readonly irVersion: number;
  /** Of the file; the graph's may be later, since old nodes are upgraded when they are read. */
  readonly opset: number;
  /** Nodes of the file by their (unique) names in the graph. */
  readonly nodes: ReadonlyMap<string, ProtoRecord>;
  /** Nodes as the file has them, before upgrades. */
  readonly fileNodes: ReadonlyMap<string, GraphNode>;
  /** Weights in the graph's initializer list, by name. */
  readonly initializers: ReadonlyMap<string, ProtoRecord>;
  /** Tensors that were Constant nodes: output name to node. */
  readonly constants: ReadonlyMap<string, ProtoRecord>;
  /** Tensors that were computed from other tensors: output name to how. */
  readonly folded: ReadonlyMap<string, FoldedNode>;
  /** Every tensor that the file stores or that was folded, also those that no node of the graph reads. */
  readonly fileTensors: ReadonlyMap<string, Tensor>;
  readonly external: ReadonlyMap<string, ExternalPlace>;
  readonly siblings: ReadonlyMap<string, ByteSource | undefined>;
}

/** Reads the header of an ONNX file: everything but the weights. */
export async function readDraft(files: FileSet): Promise<GraphDraft> {
  let source = files.main;
  const fail = (cause: string, place?: string): never => {
    throw new ParticlizeError({ file: source.name, place, cause, action: 'Export the model again' });
  };
  let model = await readProto(source, onnxTypes.ModelProto);
  if (messagesOf(model, 'functions').length) {
    source = inlineFunctions(source, model);
    model = await readProto(source, onnxTypes.ModelProto);
  }
  const graphs = messagesOf(model, 'graph');
  if (graphs.length !== 1) fail(graphs.length ? 'the file holds more than one graph' : 'the file holds no graph, so it is not an ONNX model');
  const graph = graphs[0]!;
  const findings: Finding[] = [];
  const { opset, domains } = operatorSets(model, graph, findings, fail);
  const siblings = await openSiblings(files, graph, findings);
  const reader = new GraphReader(source, graph, siblings, fail, opset);
  reader.readInitializers();
  await reader.readNodes();
  const inputs = reader.inputs();
  const outputs = messagesOf(graph, 'output').map(valueInfoOf);
  for (const list of [inputs, outputs]) checkUnique(list, (name) => fail(`'${name}' is listed twice`));
  if (reader.nodes.length === 0) fail('the model has no operators');

  const ordered = withFile(source.name, () => inOrder({ inputs, nodes: reader.nodes, tensors: reader.tensors }));
  const { nodes, folded } = await foldConstants(ordered, reader.tensors, new Set(outputs.map((output) => output.name)));
  const known = new Set([...inputs.map((input) => input.name), ...reader.tensors.keys(), ...nodes.flatMap((node) => node.outputs)]);
  for (const { name } of outputs) if (!known.has(name)) fail(`the model's output '${name}' is made by nothing`);
  const used = new Set([...nodes.flatMap(readsOf), ...outputs.map((output) => output.name)]);
  const tensors = new Map([...reader.tensors].filter(([name]) => used.has(name)));
  const producer = [textOf(model, 'producer_name'), textOf(model, 'producer_version')].filter(Boolean).join(' ');
  const layered = layersOf({
    nodes, tensors, producer, unnamed: reader.unnamed, scopes: reader.scopes, constants: new Set(reader.constants.keys()), outputs: outputs.map((output) => output.name),
  });
  const origin: OnnxOrigin = {
    source, model, graph, opset, folded, siblings,
    irVersion: numberOf(model, 'ir_version') ?? 0,
    nodes: reader.nodeRecords, fileNodes: new Map(ordered.map((node) => [node.name, node])),
    initializers: reader.initializers, constants: reader.constants, external: reader.external, fileTensors: reader.tensors,
  };
  return {
    format: 'onnx', producer, opset, domains, inputs, outputs, tensors, findings, origin,
    nodes: layered.nodes, layers: layered.layers,
    declared: new Map(messagesOf(graph, 'value_info').map(valueInfoOf).map((info) => [info.name, info])),
  };
}

class GraphReader {
  readonly tensors = new Map<string, Tensor>();
  readonly external = new Map<string, ExternalPlace>();
  readonly initializers = new Map<string, ProtoRecord>();
  readonly constants = new Map<string, ProtoRecord>();
  readonly nodes: GraphNode[] = [];
  readonly nodeRecords = new Map<string, ProtoRecord>();
  readonly unnamed = new Set<string>();
  /** Module path by node name, where the exporter wrote it down. */
  readonly scopes = new Map<string, string>();
  private readonly made = new Set<string>();
  private readonly nodeNames = new Set<string>();

  constructor(
    private readonly source: ByteSource,
    private readonly graph: ProtoMessage,
    private readonly siblings: ReadonlyMap<string, ByteSource | undefined>,
    private readonly fail: (cause: string, place?: string) => never,
    private readonly opset: number,
  ) {}

  readInitializers(): void {
    if (recordsOf(this.graph, 'sparse_initializer').length) this.fail('the model has sparse weights, which Particlize does not read');
    for (const record of recordsOf(this.graph, 'initializer')) {
      const message = record.value as ProtoMessage;
      const name = textOf(message, 'name');
      this.addTensor(message, name);
      this.initializers.set(name, record);
    }
  }

  /** The graph's inputs without the weights, which old files list among them. */
  inputs(): ValueInfo[] {
    const inputs = messagesOf(this.graph, 'input').map(valueInfoOf).filter((info) => !this.initializers.has(info.name));
    for (const { name } of inputs) if (this.made.has(name)) this.fail(`'${name}' is an input, but the model also computes it`);
    return inputs;
  }

  async readNodes(): Promise<void> {
    const counts = new Map<string, number>();
    for (const record of recordsOf(this.graph, 'node')) {
      const message = record.value as ProtoMessage;
      const op = textOf(message, 'op_type');
      if (!op) this.fail('a node does not say which operator it is', `byte ${record.start}`);
      const count = counts.get(op) ?? 0;
      counts.set(op, count + 1);
      const given = textOf(message, 'name');
      const name = unique(given || `${op}_${count}`, this.nodeNames);
      if (!given) this.unnamed.add(name);
      const scope = scopeIn(message);
      if (scope) this.scopes.set(name, scope);
      const domain = textOf(message, 'domain');
      const node = {
        name, op, domain: domain === 'ai.onnx' ? '' : domain,
        inputs: textsOf(message, 'input'), outputs: textsOf(message, 'output'), layer: name,
      };
      for (const output of node.outputs) if (output) this.claim(output, `node ${name}`);
      if (node.domain === '' && op === 'Constant' && node.outputs.length === 1 && await this.constant(message, node.outputs[0]!, name)) {
        this.constants.set(node.outputs[0]!, record);
        continue;
      }
      const attributes: Record<string, Attribute> = Object.create(null) as Record<string, Attribute>;
      for (const attribute of messagesOf(message, 'attribute')) {
        const made = await attributeOf(this.source, attribute, `node ${name}`);
        const old = made.type === 'graph' && this.opset < baseOpset;
        attributes[textOf(attribute, 'name')] = old ? { ...made, value: await this.upgraded(messageOf(attribute, 'g')!, made.captures) } : made;
      }
      this.nodes.push({ ...node, attributes: { ...attributes } });
      this.nodeRecords.set(name, record);
    }
  }

  /** A nested graph of an older operator set, in the forms of the later one that the graph around it is brought to. */
  private async upgraded(graph: ProtoMessage, captures: readonly string[]): Promise<Uint8Array> {
    const reader = new GraphReader(this.source, graph, this.siblings, this.fail, this.opset);
    reader.readInitializers();
    await reader.readNodes();
    const inputs = [...reader.inputs(), ...captures.map((name) => ({ name }))];
    const { nodes, tensors } = await finishGraph({
      format: 'onnx', producer: '', opset: this.opset, inputs, nodes: reader.nodes, tensors: reader.tensors, layers: [], findings: [], origin: undefined,
      outputs: messagesOf(graph, 'output').map(valueInfoOf).filter(({ name }) => reader.made.has(name)),
    });
    const kept = patchMessage(this.source, graph, new Map([...recordsOf(graph, 'node'), ...recordsOf(graph, 'initializer')].map((record) => [record, undefined])), {
      node: nodes.map(nodeMessage),
      initializer: [...tensors].filter(([, tensor]) => tensor.dtype !== 'string').map(([name, tensor]) => tensorMessage(name, tensor)),
    });
    return kept.whole();
  }

  /** Makes the tensor that a Constant node stands for; false for texts and sparse values, which stay nodes. */
  private async constant(message: ProtoMessage, output: string, node: string): Promise<boolean> {
    for (const attribute of messagesOf(message, 'attribute')) {
      const name = textOf(attribute, 'name');
      const value = messageOf(attribute, 't');
      if (name === 'value' && value) {
        const { tensor, external } = tensorOfProto(this.source, value, output, this.siblings);
        if (tensor.dtype === 'string') return false;
        this.tensors.set(output, tensor);
        if (external) this.external.set(output, external);
        return true;
      }
      const array = arrayOfAttribute(await attributeOf(this.source, attribute, `node ${node}`));
      if (array && name.startsWith('value_')) {
        this.tensors.set(output, tensorOf(output, array));
        return true;
      }
    }
    return false;
  }

  private addTensor(message: ProtoMessage, name: string): void {
    if (!name) this.fail('a weight has no name', `byte ${message.start}`);
    this.claim(name, `tensor ${name}`);
    const { tensor, external } = tensorOfProto(this.source, message, name, this.siblings);
    this.tensors.set(name, tensor);
    if (external) this.external.set(name, external);
  }

  private claim(name: string, place: string): void {
    if (this.made.has(name)) this.fail(`'${name}' is made twice`, place);
    this.made.add(name);
  }
}

function operatorSets(
  model: ProtoMessage, graph: ProtoMessage, findings: Finding[], fail: (cause: string) => never,
): { opset: number; domains: Record<string, number> } {
  const domains: Record<string, number> = {};
  let opset: number | undefined;
  for (const entry of messagesOf(model, 'opset_import')) {
    const domain = textOf(entry, 'domain');
    const version = numberOf(entry, 'version') ?? 0;
    if (version < 1 || version > 10_000) fail(`operator set ${version} of '${domain || 'ai.onnx'}' does not exist`);
    if (domain === '' || domain === 'ai.onnx') opset = version;
    else if (domain !== '__proto__') domains[domain] = version;
  }
  if (opset === undefined) {
    opset = 1;
    const standard = messagesOf(graph, 'node').some((node) => ['', 'ai.onnx'].includes(textOf(node, 'domain')));
    if (standard) findings.push({ severity: 'warning', place: 'opset_import', message: 'the file does not say which operator set it uses; the first is assumed' });
  }
  return { opset, domains };
}

async function openSiblings(files: FileSet, graph: ProtoMessage, findings: Finding[]): Promise<Map<string, ByteSource | undefined>> {
  const tensors = [
    ...messagesOf(graph, 'initializer'),
    ...messagesOf(graph, 'node').flatMap((node) => messagesOf(node, 'attribute').flatMap((attribute) => messagesOf(attribute, 't'))),
  ];
  const siblings = new Map<string, ByteSource | undefined>();
  for (const location of new Set(tensors.map(externalLocation))) {
    if (!location) continue;
    try {
      siblings.set(location, await files.sibling(location));
    } catch (error) {
      if (!(error instanceof ParticlizeError)) throw error;
      siblings.set(location, undefined);
      findings.push({ severity: 'error', place: location, message: `weights are missing: ${error.message}` });
    }
  }
  return siblings;
}

/** Takes nodes that only rearrange weights out of the graph; their results become tensors in `tensors`. */
async function foldConstants(
  nodes: readonly GraphNode[], tensors: Map<string, Tensor>, outputs: ReadonlySet<string>,
): Promise<{ nodes: readonly GraphNode[]; folded: Map<string, FoldedNode> }> {
  const folded = new Map<string, FoldedNode>();
  const kept: GraphNode[] = [];
  for (const node of nodes) {
    const result = node.outputs.some((output) => outputs.has(output)) ? undefined : await foldNode(node, tensors);
    if (result) {
      folded.set(result.result.name, result);
      tensors.set(result.result.name, result.result);
    } else kept.push(node);
  }
  return { nodes: kept, folded };
}

function arrayOfAttribute(attribute: Attribute): NdArray | undefined {
  switch (attribute.type) {
    case 'float': return { dtype: 'float32', shape: [], data: Float32Array.of(attribute.value) };
    case 'floats': return { dtype: 'float32', shape: [attribute.value.length], data: Float32Array.from(attribute.value) };
    case 'int': return { dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(attribute.value)) };
    case 'ints': return { dtype: 'int64', shape: [attribute.value.length], data: BigInt64Array.from(attribute.value, BigInt) };
    default: return undefined;
  }
}

export function valueInfoOf(message: ProtoMessage): ValueInfo {
  const type = messageOf(message, 'type');
  const tensor = type && messageOf(type, 'tensor_type');
  const shape = tensor && messageOf(tensor, 'shape');
  const dtype: DType | undefined = tensor && dtypeOfCode(numberOf(tensor, 'elem_type') ?? 0);
  const dims = shape && messagesOf(shape, 'dim').map((dim): Dim => {
    const size = numberOf(dim, 'dim_value');
    return size !== undefined && Number.isSafeInteger(size) && size >= 0 ? size : null;
  });
  return { name: textOf(message, 'name'), ...(dtype && { dtype }), ...(dims && { shape: dims }) };
}

function checkUnique(infos: readonly ValueInfo[], fail: (name: string) => never): void {
  const seen = new Set<string>();
  for (const { name } of infos) {
    if (seen.has(name)) fail(name);
    seen.add(name);
  }
}

/** Adds the file's name to errors of code that does not know it. */
export function withFile<Result>(file: string, run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    throw nameFile(file, error);
  }
}

export function nameFile(file: string, error: unknown): unknown {
  return error instanceof ParticlizeError && !error.parts.file ? new ParticlizeError({ ...error.parts, file }, { cause: error }) : error;
}

/** The module around a node, as torch.onnx writes it down: `['', 'layer1', 'layer1.conv', 'conv2d']` is `layer1.conv`. */
function scopeIn(node: ProtoMessage): string | undefined {
  const entry = messagesOf(node, 'metadata_props').find((property) => textOf(property, 'key') === 'pkg.torch.onnx.name_scopes');
  if (!entry) return undefined;
  const scopes = [...textOf(entry, 'value').matchAll(/'([^']*)'/g)].map(([, scope]) => scope!);
  return scopes.slice(0, -1).filter(Boolean).at(-1);
}
