import { readsOf } from '../../graph/attributes';
import { ParticlizeError } from '../../graph/errors';
import { indexOf, type Attribute, type GraphNode, type ModelGraph, type Shape, type ValueInfo } from '../../graph/modelGraph';
import { asNumbers } from '../../graph/numeric';
import type { Tensor } from '../../graph/tensor';
import { recordsOf, textOf, type ProtoMessage, type ProtoRecord } from '../containers/protobuf';
import { Chunks, encodeField, encodeMessage, patchMessage, type PlainMessage } from '../containers/protobufWriter';
import type { SavedFile } from '../format';
import { nodeMessage, tensorMessage, valueInfoMessage } from './onnxEncode';
import { changedAttributes, OnnxPatcher } from './onnxPatch';
import type { OnnxOrigin } from './onnxReader';
import { layOutExternal } from './onnxExternal';
import { onnxTypes } from './onnxSchema';
import { unfold } from './onnxUnfold';

/**
 * The changed model in the form of its file: operator set, stored shapes, external data and everything that was not
 * touched stay as they were. Rejects with a ParticlizeError when a change cannot be said in the file's operator set.
 */
export async function saveOnnx(original: ModelGraph, graph: ModelGraph, mainName: string): Promise<readonly SavedFile[]> {
  return new OnnxWriter(original, graph, original.origin as OnnxOrigin, mainName).files();
}

/** Inputs of later operator sets that were attributes before: by operator and position. */
const formerAttributes: Readonly<Record<string, readonly (string | undefined)[]>> = {
  Reshape: [undefined, 'shape'], Split: [undefined, 'split'], Slice: [undefined, 'starts', 'ends', 'axes'], Pad: [undefined, 'pads', 'value'],
  Squeeze: [undefined, 'axes'], Unsqueeze: [undefined, 'axes'], Clip: [undefined, 'min', 'max'], TopK: [undefined, 'k'],
  Dropout: [undefined, 'ratio'], Upsample: [undefined, 'scales'],
  ...Object.fromEntries(['Sum', 'Mean', 'Max', 'Min', 'Prod', 'L1', 'L2', 'LogSum', 'LogSumExp', 'SumSquare']
    .map((name) => [`Reduce${name}`, [undefined, 'axes']])),
};

/** Operators that surgery adds, and the operator set since which they are written as they are now (Gemm without a bias since 11). */
const sameSince: Readonly<Record<string, number>> = { Conv: 1, MatMul: 1, Gemm: 11 };

class OnnxWriter {
  private readonly patcher: OnnxPatcher;
  /** New contents of tensors that the file has, by their names there. */
  private readonly contents = new Map<string, Tensor>();
  private readonly added = new Map<string, Tensor>();
  private readonly edits = new Map<ProtoRecord, Chunks | undefined>();
  /** Inputs of changed nodes. */
  private readonly inputs = new Map<string, readonly string[]>();
  /** Results of rearranged weights as they will be. */
  private readonly results = new Map<string, Tensor>();

  constructor(
    private readonly original: ModelGraph, private readonly graph: ModelGraph,
    private readonly origin: OnnxOrigin, private readonly mainName: string,
  ) {
    this.patcher = new OnnxPatcher(origin.source);
  }

  async files(): Promise<readonly SavedFile[]> {
    for (const [name, tensor] of this.graph.tensors) {
      const before = this.original.tensors.get(name);
      if (before && before !== tensor) this.contents.set(name, tensor);
    }
    await this.patchNodes();
    await this.unfoldAll();
    const gone = this.unused();
    this.dropUnused(gone);
    const external = layOutExternal(this.origin, this.contents, gone, this.mainName);
    this.patchTensors(external.places);
    this.patchValueInfos(gone);
    const added = this.additions();
    return [saved(this.mainName, this.compose(added)), ...external.files.map(({ name, chunks }) => saved(name, chunks))];
  }

  private async patchNodes(): Promise<void> {
    const before = indexOf(this.original).node;
    const after = indexOf(this.graph).node;
    for (const [name, record] of this.origin.nodes) {
      if (this.origin.folded.has(this.origin.fileNodes.get(name)!.outputs[0] ?? '')) continue;
      const [old, now] = [before.get(name), after.get(name)];
      if (!old || old === now) continue;
      if (now) await this.patchNode(record, this.origin.fileNodes.get(name)!, old, now);
      else this.edits.set(record, undefined);
    }
    this.insertNodes(before);
  }

  private async patchNode(record: ProtoRecord, file: GraphNode, old: GraphNode, now: GraphNode): Promise<void> {
    const attributes = changedAttributes(old, now);
    const inputs = [...file.inputs];
    for (let index = 0; index < Math.max(old.inputs.length, now.inputs.length); index++) {
      const [was, is] = [old.inputs[index] ?? '', now.inputs[index] ?? ''];
      if (was === is) continue;
      if ((file.inputs[index] ?? '') === was) inputs[index] = this.replaceInput(was, is);
      else await this.replaceAttribute(file, now, index, attributes);
    }
    const sameInputs = inputs.length === file.inputs.length && inputs.every((name, index) => name === file.inputs[index]);
    if (sameInputs && attributes.size === 0) return;
    this.inputs.set(file.name, inputs);
    this.edits.set(record, this.field('node', this.patcher.node(record.value as ProtoMessage, sameInputs ? undefined : inputs, attributes)));
  }

  /** The name to read from now on. A constant that nobody else reads is overwritten and keeps its name. */
  private replaceInput(was: string, is: string): string {
    const tensor = this.graph.tensors.get(is);
    if (!tensor || this.original.tensors.has(is)) return is;
    const exclusive = this.original.tensors.has(was) && !this.contents.has(was)
      && indexOf(this.original).consumers.get(was)?.length === 1 && !indexOf(this.graph).consumers.has(was);
    if (!exclusive) {
      let name = is;
      for (let number = 1; this.origin.fileTensors.has(name); number++) name = `${is}_${number}`;
      this.added.set(name, tensor);
      return name;
    }
    this.contents.set(was, { ...tensor, name: was });
    return was;
  }

  /** What is an input of the graph's node is an attribute of the file's, which is older. */
  private async replaceAttribute(file: GraphNode, now: GraphNode, index: number, attributes: Map<string, Attribute | undefined>): Promise<void> {
    const name = formerAttributes[file.op]?.[index];
    const tensor = this.graph.tensors.get(now.inputs[index] ?? '');
    if (!name || !tensor) {
      // Sizes inside the several nodes that an older one was upgraded to follow from its input by themselves.
      if (file.op !== now.op) return;
      throw new ParticlizeError({
        file: this.origin.source.name, place: `layer ${now.layer} (${now.op})`,
        cause: `its changed input ${index} cannot be written in operator set ${this.origin.opset}`, action: 'Export the model with operator set 18 or later',
      });
    }
    const values = asNumbers(await tensor.read());
    const type = file.attributes[name]?.type ?? (tensor.dtype === 'int64' ? 'ints' : 'float');
    attributes.set(name, type === 'int' || type === 'float' ? { type, value: values[0]! } : { type: type as 'ints' | 'floats', value: values });
  }

  /** Nodes that surgery added stand before the next one that the file has, so that the order stays. */
  private insertNodes(before: ReadonlyMap<string, GraphNode>): void {
    const fresh = this.graph.nodes.filter((node) => !before.has(node.name));
    if (fresh.length === 0) return;
    const changedSince = fresh.some(({ op, domain }) => domain !== '' || this.origin.opset < (sameSince[op] ?? Infinity));
    if (this.origin.opset !== this.graph.opset && changedSince) {
      throw new ParticlizeError({
        file: this.origin.source.name, cause: `new operators cannot be written in operator set ${this.origin.opset}`,
        action: 'Export the model with operator set 18 or later',
      });
    }
    let waiting = new Chunks();
    for (const node of this.graph.nodes) {
      const record = this.origin.nodes.get(node.name);
      if (!before.has(node.name)) {
        waiting.addAll(this.field('node', encodeMessage(onnxTypes.NodeProto, nodeMessage(node))));
        for (const name of node.inputs) if (this.graph.tensors.has(name) && !this.original.tensors.has(name)) this.added.set(name, this.graph.tensors.get(name)!);
        this.inputs.set(node.name, node.inputs);
      } else if (record && waiting.sizeBytes > 0) {
        this.edits.set(record, waiting.addAll(this.recordNow(record)));
        waiting = new Chunks();
      }
    }
    this.trailing = waiting;
  }

  private trailing = new Chunks();

  /** Contents of folded results go back into the tensors that the file stores; where there is no way back they are stored themselves. */
  private async unfoldAll(): Promise<void> {
    const { folded } = this.origin;
    const readers = this.fileReaders();
    // Later results first, so that a chain of them is walked from its end.
    for (const [name, step] of [...folded].reverse()) {
      const wanted = this.contents.get(name) ?? this.graph.tensors.get(name);
      if (!wanted) continue;
      if (!this.contents.has(name) && !this.restsOnChanged(name)) continue;
      this.contents.delete(name);
      this.results.set(name, wanted);
      const sole = step.inputs.every((input) => !input || readers.get(input.name) === 1) && !step.inputs.some((input) => input && this.contents.has(input.name));
      const back = sole ? await unfold(step, wanted) : undefined;
      if (back) {
        for (const [input, tensor] of back) this.contents.set(input, tensor);
        continue;
      }
      this.added.set(name, { ...wanted, name });
      this.edits.set(this.origin.nodes.get(step.node.name)!, undefined);
    }
  }

  private restsOnChanged(name: string): boolean {
    const inputs = this.origin.folded.get(name)?.inputs ?? [];
    return inputs.some((input) => input && (this.contents.has(input.name) || this.restsOnChanged(input.name)));
  }

  /** How often each name is read in the file. */
  private fileReaders(): Map<string, number> {
    const readers = new Map<string, number>();
    for (const node of this.origin.fileNodes.values()) for (const name of readsOf(node)) readers.set(name, (readers.get(name) ?? 0) + 1);
    return readers;
  }

  /** Stored tensors and folded results that were read before and are not any more. */
  private unused(): ReadonlySet<string> {
    const before = this.reached((node) => readsOf(node), new Set());
    const dropped = new Set([...this.origin.nodes].filter(([, record]) => this.edits.has(record) && !this.edits.get(record)).map(([name]) => name));
    const after = this.reached((node) => [...(this.inputs.get(node.name) ?? node.inputs), ...readsOf({ ...node, inputs: [] })], dropped);
    for (const node of this.graph.nodes) for (const name of node.inputs) if (!this.origin.nodes.has(node.name)) after.add(name);
    return new Set([...before].filter((name) => !after.has(name)));
  }

  private reached(reads: (node: GraphNode) => readonly string[], dropped: ReadonlySet<string>): Set<string> {
    const { folded, fileNodes } = this.origin;
    const reached = new Set(this.original.outputs.map((output) => output.name));
    const pending = [...fileNodes.values()].filter((node) => !dropped.has(node.name) && !folded.has(node.outputs[0] ?? ''));
    for (let node = pending.pop(); node; node = pending.pop()) {
      for (const name of reads(node)) {
        if (reached.has(name)) continue;
        reached.add(name);
        const step = folded.get(name);
        if (step && !dropped.has(step.node.name)) pending.push(step.node);
      }
    }
    return reached;
  }

  private dropUnused(gone: ReadonlySet<string>): void {
    const { initializers, constants, folded, nodes } = this.origin;
    for (const name of gone) {
      const step = folded.get(name);
      const record = initializers.get(name) ?? constants.get(name) ?? (step && nodes.get(step.node.name));
      if (record) this.edits.set(record, undefined);
      this.contents.delete(name);
    }
  }

  private patchTensors(places: ReadonlyMap<string, Parameters<OnnxPatcher['tensor']>[2]>): void {
    const { initializers, constants } = this.origin;
    for (const name of new Set([...this.contents.keys(), ...places.keys()])) {
      const [content, place] = [this.contents.get(name), places.get(name)];
      const initializer = initializers.get(name);
      const record = initializer ?? constants.get(name);
      if (!record) continue;
      const message = record.value as ProtoMessage;
      this.edits.set(record, initializer
        ? this.field('initializer', this.patcher.tensor(message, content, place))
        : this.field('node', this.patcher.constant(message, content, place)));
    }
  }

  /** Shapes that the file states are made true again, or dropped where nothing is known any more. */
  private patchValueInfos(gone: ReadonlySet<string>): void {
    for (const list of ['input', 'output', 'value_info'] as const) {
      for (const record of recordsOf(this.origin.graph, list)) {
        const message = record.value as ProtoMessage;
        const name = textOf(message, 'name');
        if (gone.has(name) && list !== 'output') {
          this.edits.set(record, undefined);
          continue;
        }
        const [before, after] = [this.factsBefore(name), this.factsAfter(name)];
        if (sameShape(before?.shape, after?.shape)) continue;
        if (!after?.shape && list === 'value_info') this.edits.set(record, undefined);
        else this.edits.set(record, this.field(list, this.patcher.valueInfo(message, after?.dtype ?? before?.dtype, after?.shape)));
      }
    }
  }

  private factsBefore(name: string): Pick<ValueInfo, 'dtype' | 'shape'> | undefined {
    return this.origin.fileTensors.get(name) ?? factsOf(this.original, name);
  }

  private factsAfter(name: string): Pick<ValueInfo, 'dtype' | 'shape'> | undefined {
    // A stored tensor that no node of the graph reads (what reads it was folded) is as it was.
    return this.contents.get(name) ?? this.results.get(name) ?? this.added.get(name) ?? factsOf(this.graph, name) ?? this.origin.fileTensors.get(name);
  }

  private additions(): PlainMessage {
    const added = [...this.added].filter(([name]) => !this.origin.initializers.has(name));
    return {
      initializer: added.map(([name, tensor]) => tensorMessage(name, tensor)),
      // Before IR version 4, every weight is listed among the inputs.
      input: this.origin.irVersion < 4 ? added.map(([name, { dtype, shape }]) => valueInfoMessage(name, dtype, shape)) : [],
    };
  }

  private compose(added: PlainMessage): Chunks {
    const { source, model, graph } = this.origin;
    const whole = new Chunks().add({ source, start: 0, end: source.sizeBytes });
    if (this.edits.size === 0 && this.trailing.sizeBytes === 0) return whole;
    const body = patchMessage(source, graph, this.edits, added).addAll(this.trailing);
    const record = recordsOf(model, 'graph')[0]!;
    return patchMessage(source, model, new Map([[record, encodeField(new Chunks(), record.field!, body)]]));
  }

  private recordNow(record: ProtoRecord): Chunks {
    if (this.edits.has(record)) return this.edits.get(record) ?? new Chunks();
    return new Chunks().add({ source: this.origin.source, start: record.start, end: record.end });
  }

  private field(name: string, body: Chunks): Chunks {
    return encodeField(new Chunks(), onnxTypes.GraphProto.byName.get(name)!, body);
  }
}

function factsOf(graph: ModelGraph, name: string): Pick<ValueInfo, 'dtype' | 'shape'> | undefined {
  return graph.tensors.get(name) ?? graph.values.get(name)
    ?? graph.inputs.find((input) => input.name === name) ?? graph.outputs.find((output) => output.name === name);
}

function sameShape(a: Shape | undefined, b: Shape | undefined): boolean {
  if (!a || !b) return a === b;
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

function saved(name: string, chunks: Chunks): SavedFile {
  return { name, sizeBytes: chunks.sizeBytes, chunks: () => chunks.bytes() };
}
