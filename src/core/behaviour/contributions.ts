import { nodeMacs } from '../evaluate/cost';
import type { Engine } from '../graph/engine';
import { GraphOnGraph } from '../graph/graphBuilder';
import type { ModelGraph } from '../graph/modelGraph';
import { contextOf } from '../graph/inferShapes';
import { int64Array } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import type { LinearConsumer } from './consumers';

/** Computes, for some particles at once, their terms in a consumer's pre-activation or that pre-activation without them. */
export interface ContributionProgram {
  /** Values of the model to feed, sample first. */
  readonly input: string;
  readonly output: string;
  /** [particles, samples, ...]; at most as many particles as it was opened for. */
  run(x: NdArray, y: NdArray, particles: readonly number[]): Promise<NdArray>;
  dispose(): Promise<void>;
}

/** Whether a consumer's terms can be computed particle by particle. */
export function hasContributions({ rule }: LinearConsumer): boolean {
  return rule.contributions !== undefined && rule.weight !== undefined;
}

/**
 * Whether taking a particle's term from the consumer's sum is cheaper than running the consumer again on masked copies.
 * It needs far fewer multiplications, but as one convolution of many small groups, and moves the whole sum a few times:
 * it pays when the consumer reads many channels. The rates are what ONNX Runtime reached on two cores; only their
 * proportion matters, and it is the same for both ways of running it.
 */
export function contributionsPay(graph: ModelGraph, { node, rule, indices }: LinearConsumer): boolean {
  const macs = nodeMacs(graph, node);
  const shape = contextOf(graph).facts(rule.output).shape;
  if (macs === undefined || !shape) return true;
  const elements = shape.slice(1).reduce<number>((product, size) => product * (size ?? 1), 1);
  const again = macs / denseMacsPerSecond;
  const term = macs / indices.length / groupedMacsPerSecond + (elements * bytesMovedPerElement) / bytesPerSecond;
  return term < again;
}

const denseMacsPerSecond = 30e9;
const groupedMacsPerSecond = 1.5e9;
const bytesPerSecond = 4e9;
/** Six passes over float32: convolution, transposition, subtraction, and the copies in between. */
const bytesMovedPerElement = 24;

/** Compiles for `particles` particles at once. `what`: the terms themselves, or the consumer's output minus each of them. */
export async function openContributions(
  engine: Engine, graph: ModelGraph, consumer: LinearConsumer, particles: number, what: 'terms' | 'without',
): Promise<ContributionProgram> {
  const { rule, indices } = consumer;
  const block = indices[0]!.length;
  const builder = new GraphOnGraph(graph);
  const chosen = builder.input('particlize/particles', { dtype: 'int64', shape: [particles * block] });
  const x = builder.node('Gather', [rule.input, chosen], { axis: { type: 'int', value: rule.axis } });
  const weights = builder.node('Gather', [rule.weight!.value, chosen], { axis: { type: 'int', value: rule.weight!.axis } });
  const terms = rule.contributions!(builder, x, weights, particles, block);
  const result = what === 'terms' ? terms : builder.node('Sub', [rule.output, terms]);
  const extended = await builder.finish([result]);
  const feeds = what === 'terms' ? [rule.input, chosen] : [rule.input, rule.output, chosen];
  const program = await engine.compile(extended, feeds, [result]);
  return {
    input: rule.input, output: rule.output,
    async run(input, output, list) {
      const padded = Array.from({ length: particles }, (_, index) => list[index] ?? list[0]!);
      const feed = new Map([[rule.input, input], [chosen, int64Array(padded.flatMap((particle) => indices[particle]!))]]);
      if (what === 'without') feed.set(rule.output, output);
      const array = (await program.run(feed)).get(result)!;
      return array;
    },
    dispose: () => program.dispose(),
  };
}
