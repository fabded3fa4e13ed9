import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import type { Dataset } from '../../../src/core/data/dataset';
import type { Finding } from '../../../src/core/graph/errors';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray, NumericArray } from '../../../src/core/graph/tensor';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';

/** A graph with samples that are in memory, ready for behaviour runs on the default engine. */
export async function memoryContext(
  graph: ModelGraph, inputs: Readonly<Record<string, NdArray>>, options: Partial<Dataset> & { readonly classLabels?: readonly number[] } = {},
): Promise<BehaviourContext & { readonly findings: Finding[] }> {
  const { classLabels, ...rest } = options;
  const findings: Finding[] = [];
  const rows = (array: NdArray, from: number, to: number): NdArray => {
    const each = array.data.length / array.shape[0]!;
    return { ...array, shape: [to - from, ...array.shape.slice(1)], data: array.data.slice(from * each, to * each) as NumericArray };
  };
  const data: Dataset = {
    title: 'memory', task: 'classification', count: Object.values(inputs)[0]!.shape[0]!, seed: 5, synthetic: false,
    inputs: (from, to) => Promise.resolve(new Map(Object.entries(inputs).map(([name, array]) => [name, rows(array, from, to)]))),
    labels: (from, to) => Promise.resolve(classLabels && { dtype: 'float32', shape: [to - from], data: Float32Array.from(classLabels.slice(from, to)) }),
    ...rest,
  };
  return { graph, table: decompose(graph), engine: await createEngine('auto'), data, memoryBytes: 2 ** 26, findings, report: (finding) => findings.push(finding) };
}

export function float32(values: ArrayLike<number>, shape: readonly number[]): NdArray {
  return { dtype: 'float32', shape, data: Float32Array.from(values) };
}
