import { unique } from '../../graph/finishGraph';
import type { GraphNode, Layer } from '../../graph/modelGraph';
import type { TfNode } from './tfGraph';

/** A node of the file and the nodes of the graph that it became. */
export interface TranslatedNode {
  readonly name: string;
  readonly op: string;
  readonly nodes: readonly string[];
  /** Whether it has a kernel of its own. */
  readonly weighted: boolean;
}

/** Names without what every one of them begins with: calls that were put in, and the scope of the model. */
export function namesOf(nodes: readonly TfNode[]): (name: string) => string {
  const bare = (name: string): string => name.replace(/^((Stateful)?PartitionedCall(_\d+)?\/)+/, '');
  const working = nodes.filter((node) => !silent.has(node.op)).map((node) => bare(node.name)).filter((name) => !/^(Stateful)?PartitionedCall(_\d+)?$/.test(name));
  let root = '';
  const first = working[0] ?? '';
  for (let slash = first.indexOf('/'); slash > 0; slash = first.indexOf('/', slash + 1)) {
    const candidate = first.slice(0, slash + 1);
    // What is left must still name a layer and an operator in it.
    if (!working.every((name) => name.startsWith(candidate) && name.slice(candidate.length).includes('/'))) break;
    root = candidate;
  }
  const short = (name: string): string => {
    const plain = bare(name);
    return root && plain.startsWith(root) && plain.length > root.length ? plain.slice(root.length) : plain;
  };
  // Keras calls its layers once more when it exports them: every scope then ends in _1.
  const scopes = new Set(working.map((name) => short(name).split('/')).filter((parts) => parts.length > 1).map(([scope]) => scope!));
  const again = scopes.size > 1 && [...scopes].every((scope) => scope.endsWith('_1'));
  return (name) => again ? short(name).replace(/^([^/]+)_1\//, '$1/') : short(name);
}

/** Nodes whose names say nothing about the model's scopes. */
const silent = new Set(['Const', 'Placeholder', 'Identity', 'NoOp', 'ReadVariableOp', 'VarHandleOp', 'VariableV2', 'Variable', 'StopGradient', 'IdentityN']);

/**
 * A scope of names is a layer ('conv1/Conv2D', 'conv1/BiasAdd', 'conv1/Relu'), unless it holds several kernels or is the
 * outermost: then every node is.
 */
export function layersOf(
  translated: readonly TranslatedNode[], nodes: readonly GraphNode[], isWeight: (tensor: string) => boolean,
): { readonly layers: readonly Layer[]; readonly layerOf: ReadonlyMap<string, string> } {
  const scopeOf = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf('/')));
  const kernels = new Map<string, number>();
  for (const { name, weighted } of translated) if (weighted) kernels.set(scopeOf(name), (kernels.get(scopeOf(name)) ?? 0) + 1);
  const byLayer = new Map<string, { type: string; weighted: boolean; nodes: string[] }>();
  const loud = new Set(translated.filter(({ op, nodes: made }) => made.length > 0 && !quiet.has(op)).map(({ name }) => scopeOf(name)));
  const home = (name: string): string => {
    let scope = scopeOf(name);
    if (scope === '' || (kernels.get(scope) ?? 0) > 1) return name;
    // A scope that only prepares sizes belongs to the one around it.
    while (!loud.has(scope) && scopes.has(scopeOf(scope)) && (kernels.get(scopeOf(scope)) ?? 0) <= 1) scope = scopeOf(scope);
    return scope;
  };
  const scopes = new Set(translated.filter(({ nodes: made }) => made.length > 0).map(({ name }) => scopeOf(name)).filter(Boolean));
  for (const { name, op, nodes: made, weighted } of translated) {
    if (made.length === 0) continue;
    const layer = home(name);
    const known = byLayer.get(layer);
    if (!known) byLayer.set(layer, { type: op, weighted, nodes: [...made] });
    else {
      known.nodes.push(...made);
      if (weighted || (!known.weighted && (!quiet.has(op) || (op === 'Reshape' && quiet.has(known.type))))) known.type = op;
      known.weighted ||= weighted;
    }
  }
  const layerOf = new Map<string, string>();
  const taken = new Set<string>();
  const reads = new Map(nodes.map((node) => [node.name, node.inputs]));
  const owned = new Set<string>();
  const layers = [...byLayer].map(([wanted, { type, nodes: made }]): Layer => {
    const name = unique(wanted, taken);
    for (const node of made) layerOf.set(node, name);
    const tensors = [...new Set(made.flatMap((node) => reads.get(node) ?? []))]
      .filter((tensor) => isWeight(tensor) && !owned.has(tensor));
    for (const tensor of tensors) owned.add(tensor);
    return { name, type: titles[type] ?? type, nodes: made, tensors };
  });
  return { layers, layerOf };
}

/** They shape the result of a layer and do not name it. */
const quiet = new Set(['Identity', 'Reshape', 'Shape', 'StridedSlice', 'Pack', 'Cast', 'Squeeze', 'ExpandDims', 'BiasAdd', 'Relu']);

const titles: Readonly<Record<string, string>> = {
  _FusedConv2D: 'Conv2D', FusedDepthwiseConv2dNative: 'DepthwiseConv2D', DepthwiseConv2dNative: 'DepthwiseConv2D', _FusedMatMul: 'MatMul',
  FusedBatchNorm: 'BatchNormalization', FusedBatchNormV2: 'BatchNormalization', FusedBatchNormV3: 'BatchNormalization',
};
