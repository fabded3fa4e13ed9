import type { Engine, Program } from '../../core/graph/engine';
import { ParticlizeError } from '../../core/graph/errors';
import type { GraphNode, ModelGraph } from '../../core/graph/modelGraph';
import { sliceGraph } from '../../core/graph/subgraph';
import { loadTfjsNode, loadTfjsWasm } from './loadTfjs';
import { familyOfNode } from './lowerings/registry';
import { TfjsProgram } from './tfjsProgram';
import type { TfModule } from './value';

export interface TfjsOptions {
  /** Missing: tfjs-node when it is installed and works, else WebAssembly. */
  readonly id?: 'tfjs-node' | 'tfjs-wasm';
  /** Where @tensorflow/tfjs-node is installed, when Node does not find it by itself. */
  readonly tfjsNodeFolder?: string;
  /** Where the .wasm files lie, when they are not beside the bundle or in node_modules. */
  readonly wasmFolder?: string;
}

/** The engine, or in the user's words why it is not available. */
export async function createTfjsEngine(options: TfjsOptions = {}): Promise<Engine | { readonly reason: string }> {
  if (options.id !== 'tfjs-wasm') {
    const loaded = await loadTfjsNode(options.tfjsNodeFolder);
    if (!('reason' in loaded)) return new TfjsEngine(loaded.tf, loaded.backend, loaded.title, 'tfjs-node');
    if (options.id === 'tfjs-node') return loaded;
  }
  const loaded = await loadTfjsWasm(options.wasmFolder);
  return 'reason' in loaded ? loaded : new TfjsEngine(loaded.tf, loaded.backend, loaded.title, 'tfjs-wasm');
}

class TfjsEngine implements Engine {
  constructor(
    private readonly tf: TfModule, private readonly backend: string, readonly title: string, readonly id: 'tfjs-node' | 'tfjs-wasm',
  ) {}

  unsupported(graph: ModelGraph): readonly string[] {
    return [...new Set(graph.nodes.flatMap((node) => reasonAgainst(graph, node) === undefined ? [] : [operatorOf(node)]))];
  }

  async compile(graph: ModelGraph, feeds: readonly string[], fetches: readonly string[]): Promise<Program> {
    const part = sliceGraph(graph, feeds, fetches);
    for (const node of part.nodes) {
      const reason = reasonAgainst(graph, node);
      if (reason !== undefined) {
        throw new ParticlizeError({
          place: `layer ${node.layer} (${operatorOf(node)})`, cause: `${this.title} cannot run this: ${reason}`,
          action: 'Choose ONNX Runtime as the engine',
        });
      }
    }
    return TfjsProgram.create(this.tf, this.backend, this.title, part, feeds, fetches);
  }
}

function reasonAgainst(graph: ModelGraph, node: GraphNode): string | undefined {
  const family = familyOfNode(node);
  if (!family) return 'it does not know this operator';
  const rankOf = (value = ''): number | undefined => (graph.values.get(value) ?? graph.tensors.get(value))?.shape?.length;
  // Its kernels do not say so: they give what happens to be in memory.
  if ([...node.inputs, ...node.outputs].some((value) => (rankOf(value) ?? 0) > mostAxes)) return `it computes with at most ${mostAxes} axes`;
  return family.refuses?.(node, rankOf);
}

const mostAxes = 6;

function operatorOf({ domain, op }: GraphNode): string {
  return domain ? `${domain}:${op}` : op;
}
