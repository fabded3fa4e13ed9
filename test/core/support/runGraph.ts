import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';

/** The first output of a graph. */
export async function runGraph(engine: Engine, graph: ModelGraph, feeds: ReadonlyMap<string, NdArray>): Promise<Float32Array> {
  const output = graph.outputs[0]!.name;
  const program = await engine.compile(graph, [...feeds.keys()], [output]);
  try {
    return (await program.run(feeds)).get(output)!.data as Float32Array;
  } finally {
    await program.dispose();
  }
}
