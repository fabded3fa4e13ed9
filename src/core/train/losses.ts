import { int } from '../graph/attributes';
import type { GraphBuilder } from '../graph/ops/operator';

/**
 * The mean over all samples of -log softmax(logits)[label]. logits [N, ..., classes], labels integers [N, ...]; a scalar.
 */
export function softmaxCrossEntropy(builder: GraphBuilder, logits: string, labels: string): string {
  const { shape } = builder.facts(logits);
  const classes = shape?.[shape.length - 1];
  // Which column is each sample's: 1 there, 0 elsewhere.
  const [zero, one] = [builder.int64([0], []), builder.int64([1], [])];
  const count = typeof classes === 'number' ? builder.int64([classes], []) : builder.node('Squeeze', [builder.node('Shape', [logits], { start: int(-1) })]);
  const wide = builder.node('Unsqueeze', [builder.node('Cast', [labels], { to: int(7) }), builder.int64([-1])]);
  const hits = builder.node('Equal', [wide, builder.node('Range', [zero, count, one])]);
  const wanted = builder.node('CastLike', [hits, logits]);
  const chances = builder.node('LogSoftmax', [logits], { axis: int(-1) });
  const terms = builder.node('ReduceSum', [builder.node('Mul', [chances, wanted]), builder.int64([-1])], { keepdims: int(0) });
  return builder.node('Neg', [builder.node('ReduceMean', [terms], { keepdims: int(0) })]);
}

/** The mean over all elements of (predicted - target)²; both of the same shape; a scalar. */
export function meanSquaredError(builder: GraphBuilder, predicted: string, target: string): string {
  const difference = builder.node('Sub', [predicted, target]);
  return builder.node('ReduceMean', [builder.node('Mul', [difference, difference])], { keepdims: int(0) });
}
