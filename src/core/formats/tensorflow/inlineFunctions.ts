import { ParticlizeError } from '../../graph/errors';
import { lookUp } from '../../graph/lookUp';
import { splitRef, type TfFunction, type TfGraph, type TfNode } from './tfGraph';

/** A graph without calls, and what the outputs of the calls became. */
export interface InlinedGraph {
  readonly nodes: ReadonlyMap<string, TfNode>;
  /** What a reference ('node:1') stands for, calls and aliases followed. */
  resolve(ref: string): string;
}

const calls = new Set(['PartitionedCall', 'StatefulPartitionedCall']);
const maxNodes = 2_000_000;
const maxDepth = 64;

/**
 * Puts the functions that a TensorFlow 2 graph calls in place of their calls, as TensorFlow does before it runs them.
 * Throws a ParticlizeError when functions call themselves or two nodes have one name.
 */
export function inlineFunctions(graph: TfGraph, file: string): InlinedGraph {
  const nodes = new Map<string, TfNode>();
  const aliases = new Map<string, string>();
  const add = (node: TfNode): void => {
    if (nodes.has(node.name)) throw new ParticlizeError({ file, place: `node ${node.name}`, cause: 'two nodes have this name' });
    if (nodes.size > maxNodes) throw new ParticlizeError({ file, cause: `it has more than ${maxNodes} nodes` });
    nodes.set(node.name, node);
  };
  const insert = (list: readonly TfNode[], prefix: string, refOf: (ref: string) => string, within: readonly string[]): void => {
    for (const node of list) {
      const name = prefix + node.name;
      const inputs = node.inputs.map(refOf);
      const called = calls.has(node.op) ? graph.functions.get(functionOf(node)) : undefined;
      if (!called) {
        add({ ...node, name, inputs });
        continue;
      }
      if (within.includes(called.name) || within.length > maxDepth) {
        throw new ParticlizeError({ file, place: `function ${called.name}`, cause: 'it calls itself' });
      }
      const inner = innerRefs(called, `${name}/`, inputs);
      insert(called.nodes, `${name}/`, inner, [...within, called.name]);
      called.results.forEach((result, index) => aliases.set(index === 0 ? name : `${name}:${index}`, inner(result)));
    }
  };
  insert(graph.nodes, '', plainRef, []);
  return {
    nodes,
    resolve(ref) {
      let current = plainRef(ref);
      for (let steps = 0; ; steps++) {
        const next = aliases.get(current);
        if (next === undefined) return current;
        if (steps > 1000) throw new ParticlizeError({ file, place: `node ${ref}`, cause: 'it stands for itself' });
        current = next;
      }
    },
  };
}

function functionOf(node: TfNode): string {
  return node.attributes.get('f')?.function ?? '';
}

/** 'node:0' is 'node'. */
function plainRef(ref: string): string {
  const [node, output] = splitRef(ref);
  return output === 0 ? node : `${node}:${output}`;
}

/** References inside a function: an argument, or 'node:output:0' with the name of an output and a place in it. */
function innerRefs(called: TfFunction, prefix: string, inputs: readonly string[]): (ref: string) => string {
  const given = new Map(called.arguments.map((name, index) => [name, inputs[index] ?? name]));
  const ops = new Map(called.nodes.map((node) => [node.name, node.op]));
  return (ref) => {
    const known = given.get(ref);
    if (known !== undefined) return known;
    const [node = '', output, place] = ref.split(':');
    if (place === undefined) return plainRef(`${prefix}${ref}`);
    const named = lookUp(outputNames, ops.get(node)?.replace(/V\d$/, '') ?? '')?.indexOf(output!) ?? 0;
    return plainRef(`${prefix}${node}:${Math.max(0, named) + Number(place)}`);
  };
}

/** Operators with several outputs that have names of their own. */
const outputNames: Readonly<Record<string, readonly string[]>> = {
  FusedBatchNorm: ['y', 'batch_mean', 'batch_variance', 'reserve_space_1', 'reserve_space_2', 'reserve_space_3'],
  TopK: ['values', 'indices'],
  Unique: ['y', 'idx'],
  Switch: ['output_false', 'output_true'],
  Merge: ['output', 'value_index'],
};
