import type { FileSet } from '../graph/byteSource';
import { ParticlizeError } from '../graph/errors';
import { finishGraph } from '../graph/finishGraph';
import type { ModelGraph } from '../graph/modelGraph';
import { isObject, type Json, type JsonObject } from './containers/json';
import { openTfjsWeights, tfjsTensor, type TfjsWeightGroup } from './containers/tfjsWeights';
import type { Format, SavedFile } from './format';
import { namedTensorGraph } from './namedTensors';
import { graphOfJson } from './tensorflow/graphDefJson';
import { inlineFunctions } from './tensorflow/inlineFunctions';
import { sinksOf } from './tensorflow/sinks';
import { translate, type TfRecord } from './tensorflow/translate';
import { saveTfjsGraph } from './tensorflow/tfjsGraphSave';

/** A TensorFlow graph as the TensorFlow.js converter saves it: model.json with a GraphDef and a weights manifest, and weight shards. */
export const tfjsGraph: Format = {
  id: 'tfjs-graph',
  title: 'TensorFlow.js graph',
  extensions: ['.json'],
  match,
  open,
  save,
};

export interface TfjsGraphOrigin {
  readonly mainName: string;
  readonly text: string;
  readonly groups: readonly TfjsWeightGroup[];
  readonly record: TfRecord;
}

const largestTopologyBytes = 256 * 2 ** 20;
const smallBytes = 4 * 2 ** 20;

async function match(files: FileSet, head: Uint8Array): Promise<boolean> {
  const start = new TextDecoder().decode(head).replace(/^\uFEFF/, '').trimStart();
  if (!/^[{[]/.test(start)) return false;
  if (/"format"\s*:\s*"graph-model"|"modelTopology"\s*:\s*\{\s*"node"/.test(start)) return true;
  if (files.main.sizeBytes > smallBytes) return false;
  try {
    const root = JSON.parse(await textOf(files)) as Json;
    return isManifest(root) || (isObject(root) && (isGraph(root) || (Array.isArray(root.weightsManifest) && root.modelTopology === undefined)));
  } catch {
    return false;
  }
}

function isGraph(root: JsonObject): boolean {
  return isObject(root.modelTopology) && Array.isArray(root.modelTopology.node);
}

/** weights_manifest.json of older converters: the list itself. */
function isManifest(root: Json): root is Json[] {
  return Array.isArray(root) && root.length > 0 && root.every((group) => isObject(group) && Array.isArray(group.paths) && Array.isArray(group.weights));
}

async function open(files: FileSet): Promise<ModelGraph> {
  const file = files.main.name;
  const text = await textOf(files);
  const root = parse(text, file);
  const manifest = isManifest(root) ? root : isObject(root) ? root.weightsManifest : undefined;
  const groups = await openTfjsWeights(files, manifest);
  const tensors = groups.flatMap((group) => group.weights.map((weight) => tfjsTensor(group, weight)));
  if (!isObject(root) || !isObject(root.modelTopology)) {
    return namedTensorGraph({ format: tfjsGraph.id, producer: 'TensorFlow.js', tensors, findings: [], origin: undefined });
  }
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const plain = graphOfJson(root.modelTopology, byName, file);
  const graph = inlineFunctions(plain, file);
  const outputs = signatureOutputs(root) ?? sinksOf(graph.nodes.values());
  if (outputs.length === 0) throw new ParticlizeError({ file, place: 'modelTopology', cause: 'the graph gives no output' });
  const { record, ...parts } = await translate(graph, { file, outputs, variable: (node) => byName.get(node.name) });
  const origin: TfjsGraphOrigin = { mainName: file, text, groups, record };
  return finishGraph({ ...parts, format: tfjsGraph.id, producer: producerOf(root), opset: 18, origin });
}

function save(original: ModelGraph, graph: ModelGraph, mainName: string): Promise<readonly SavedFile[]> {
  const origin = original.origin as TfjsGraphOrigin | undefined;
  if (!origin) return Promise.reject(new ParticlizeError({ cause: 'the file holds weights without a graph, so that nothing in it can be changed' }));
  return saveTfjsGraph(origin, original, graph, mainName);
}

async function textOf({ main }: FileSet): Promise<string> {
  if (main.sizeBytes > largestTopologyBytes) throw new ParticlizeError({ file: main.name, cause: `${main.sizeBytes} bytes are too many for a model topology` });
  return new TextDecoder().decode(await main.read(0, main.sizeBytes)).replace(/^\uFEFF/, '');
}

function parse(text: string, file: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new ParticlizeError({
      file, cause: `it is not valid JSON: ${error instanceof Error ? error.message : String(error)}`,
      action: 'The file is damaged or was cut; save or copy it again',
    }, { cause: error });
  }
}

/** References of the signature's outputs, in its order. */
function signatureOutputs(root: JsonObject): readonly string[] | undefined {
  const data = isObject(root.userDefinedMetadata) ? root.userDefinedMetadata.signature : undefined;
  for (const signature of [root.signature, data]) {
    const outputs = isObject(signature) && isObject(signature.outputs) ? Object.values(signature.outputs) : [];
    const refs = outputs.flatMap((output) => isObject(output) && typeof output.name === 'string' ? [output.name] : []);
    if (refs.length) return refs;
  }
  return undefined;
}

function producerOf(root: JsonObject): string {
  const names = [root.generatedBy, root.convertedBy].filter((name): name is string => typeof name === 'string');
  return names.length ? names.map((name) => /^\d/.test(name) ? `TensorFlow ${name}` : name).join(', ') : 'TensorFlow.js';
}
