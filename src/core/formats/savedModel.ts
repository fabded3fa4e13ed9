import type { ByteSource, FileSet } from '../graph/byteSource';
import { ParticlizeError, type Finding } from '../graph/errors';
import { finishGraph } from '../graph/finishGraph';
import type { ModelGraph } from '../graph/modelGraph';
import { messageOf, messagesOf, numberOf, readProto, textOf, textsOf, type ProtoMessage } from './containers/protobuf';
import type { Format } from './format';
import { openCheckpoint } from './tensorflow/checkpoint';
import { graphOfProto, tfMessages } from './tensorflow/graphDefProto';
import { inlineFunctions } from './tensorflow/inlineFunctions';
import { sinksOf } from './tensorflow/sinks';
import { splitRef } from './tensorflow/tfGraph';
import { translate } from './tensorflow/translate';

/** A SavedModel folder, by its saved_model.pb; weights are in variables/ beside it. Read only. */
export const savedModel: Format = {
  id: 'savedmodel',
  title: 'TensorFlow SavedModel',
  extensions: ['.pb'],
  match: async ({ main }, head) => main.name === 'saved_model.pb' || (/\.pb$/i.test(main.name) && looksLikeSavedModel(head)),
  open,
};

/** A frozen TensorFlow graph: a GraphDef whose variables became constants. Read only. */
export const frozenGraph: Format = {
  id: 'tf-graph',
  title: 'TensorFlow frozen graph',
  extensions: ['.pb'],
  match: ({ main }, head) => /\.pb$/i.test(main.name) && head[0] !== 0x08,
  open: openFrozen,
};

/** It begins with its schema version, 1, and a MetaGraphDef. */
function looksLikeSavedModel(head: Uint8Array): boolean {
  return head[0] === 0x08 && head[1] === 0x01 && head[2] === 0x12;
}

async function open(files: FileSet): Promise<ModelGraph> {
  const { main } = files;
  const message = await readProto(main, tfMessages.SavedModel);
  const graphs = messagesOf(message, 'meta_graphs');
  const meta = graphs.find((graph) => tagsOf(graph).includes('serve')) ?? graphs[0];
  const definition = meta && messageOf(meta, 'graph_def');
  if (!meta || !definition) throw new ParticlizeError({ file: main.name, cause: 'it holds no graph', action: 'Save the model again' });
  const findings: Finding[] = [];
  if (graphs.length > 1) findings.push({ severity: 'info', place: main.name, message: `the file holds ${graphs.length} graphs; the one tagged '${tagsOf(meta).join("', '")}' is shown` });
  const graph = inlineFunctions(graphOfProto(main, definition), main.name);
  const signature = signatureOf(meta);
  const outputs = signature ? signature.outputs.map(([, ref]) => ref) : sinksOf(graph.nodes.values());
  if (outputs.length === 0) throw new ParticlizeError({ file: main.name, place: 'signature_def', cause: 'no signature gives an output', action: 'Export the model with a serving signature' });
  const checkpoint = await openCheckpoint(files, graph, findings);
  const { record: _none, ...parts } = await translate(graph, {
    file: main.name, outputs, variable: checkpoint.variable,
    inputNames: new Map(signature?.inputs.map(([key, ref]) => [splitRef(ref)[0], key])),
  });
  const info = messageOf(meta, 'meta_info_def');
  const version = info && textOf(info, 'tensorflow_version');
  return finishGraph({
    ...parts, findings: [...findings, ...parts.findings], format: savedModel.id, producer: `TensorFlow${version ? ` ${version}` : ''}`, opset: 18, origin: undefined,
  });
}

async function openFrozen({ main }: FileSet): Promise<ModelGraph> {
  const graph = inlineFunctions(graphOfProto(main, await readGraph(main)), main.name);
  if (graph.nodes.size === 0) throw new ParticlizeError({ file: main.name, cause: 'it holds no TensorFlow graph' });
  const outputs = sinksOf(graph.nodes.values());
  if (outputs.length === 0) throw new ParticlizeError({ file: main.name, cause: 'the graph gives no output' });
  const { record: _none, ...parts } = await translate(graph, {
    file: main.name, outputs,
    variable: (node) => {
      throw new ParticlizeError({
        file: main.name, place: `node ${node.name}`, cause: 'this graph keeps its weights in a checkpoint, not in the file',
        action: 'Open the saved_model.pb of a SavedModel folder, or freeze the graph',
      });
    },
  });
  return finishGraph({ ...parts, format: frozenGraph.id, producer: 'TensorFlow', opset: 18, origin: undefined });
}

function readGraph(main: ByteSource): Promise<ProtoMessage> {
  return readProto(main, tfMessages.GraphDef);
}

function tagsOf(meta: ProtoMessage): readonly string[] {
  const info = messageOf(meta, 'meta_info_def');
  return info ? textsOf(info, 'tags') : [];
}

interface Signature {
  readonly inputs: readonly (readonly [key: string, ref: string])[];
  readonly outputs: readonly (readonly [key: string, ref: string])[];
}

/** serving_default, or the first signature that gives something. */
function signatureOf(meta: ProtoMessage): Signature | undefined {
  const all = messagesOf(meta, 'signature_def').map((entry) => {
    const value = messageOf(entry, 'value');
    const refs = (list: string): Signature['inputs'] => (value ? messagesOf(value, list) : []).flatMap((one) => {
      const info = messageOf(one, 'value');
      const name = info ? textOf(info, 'name') : '';
      return name && (numberOf(info!, 'dtype') ?? 0) !== 0 ? [[textOf(one, 'key'), name] as const] : [];
    });
    return { key: textOf(entry, 'key'), inputs: refs('inputs'), outputs: refs('outputs') };
  }).filter(({ key, outputs }) => outputs.length > 0 && !key.startsWith('__'));
  return all.find(({ key }) => key === 'serving_default') ?? all[0];
}
