import { int } from '../graph/attributes';
import type { GraphBuilder } from '../graph/ops/operator';

/**
 * The mean over all samples of -log softmax(logits)[label]. logits [N, ..., classes], labels integers [N, ...]; a scalar.
 */
export function softmaxCrossEntropy(builder: GraphBuilder, logits: string, labels: string): string {
  return builder.node('ReduceMean', [crossEntropies(builder, logits, labels)], { keepdims: int(0) });
}

/** As softmaxCrossEntropy, but labels below 0 do not count: the mean is over the others. */
export function maskedCrossEntropy(builder: GraphBuilder, logits: string, labels: string): string {
  const counts = builder.node('CastLike', [builder.node('GreaterOrEqual', [labels, builder.int64([0], [])]), logits]);
  const sum = (value: string): string => builder.node('ReduceSum', [value], { keepdims: int(0) });
  const least = builder.node('Max', [sum(counts), builder.float32([1], [])]);
  return builder.node('Div', [sum(crossEntropies(builder, logits, labels)), least]);
}

/** The mean over all elements of (predicted - target)²; both of the same shape; a scalar. */
export function meanSquaredError(builder: GraphBuilder, predicted: string, target: string): string {
  const difference = builder.node('Sub', [predicted, alike(builder, target, predicted)]);
  return builder.node('ReduceMean', [builder.node('Mul', [difference, difference])], { keepdims: int(0) });
}

/** The mean over all elements of the cross-entropy of sigmoid(logits) against chances 0..1 of the same shape; a scalar. */
export function binaryCrossEntropy(builder: GraphBuilder, logits: string, chances: string): string {
  const terms = builder.node('Sub', [builder.node('Softplus', [logits]), builder.node('Mul', [logits, alike(builder, chances, logits)])]);
  return builder.node('ReduceMean', [terms], { keepdims: int(0) });
}

/**
 * Bayesian personalised ranking (Rendle et al., 2009) within a batch: the mean over all pairs of a liked and a disliked
 * sample of -log sigmoid(score liked - score disliked); 0 without a pair. scores [N, 1] or [N], likes 0 or 1 [N, 1]; a scalar.
 */
export function pairwiseRanking(builder: GraphBuilder, scores: string, likes: string): string {
  const column = (value: string): string => builder.node('Reshape', [value, builder.int64([-1, 1])]);
  const row = (value: string): string => builder.node('Reshape', [value, builder.int64([1, -1])]);
  const sum = (value: string): string => builder.node('ReduceSum', [value], { keepdims: int(0) });
  // [liked, disliked]: softplus of how much higher the disliked one is.
  const behind = builder.node('Softplus', [builder.node('Sub', [row(scores), column(scores)])]);
  const known = alike(builder, likes, scores);
  const pairs = builder.node('Mul', [column(known), row(builder.node('Sub', [builder.float32([1], []), known]))]);
  return builder.node('Div', [sum(builder.node('Mul', [behind, pairs])), builder.node('Max', [sum(pairs), builder.float32([1], [])])]);
}

/**
 * Distillation (Hinton, Vinyals and Dean, 2015): T² times the mean over samples of KL(softmax(teacher / T) ‖ softmax(logits / T)),
 * both [N, ..., classes]; a scalar.
 */
export function distillation(builder: GraphBuilder, logits: string, teacher: string, temperature: number): string {
  const heat = builder.float32([temperature], []);
  const logChances = (value: string): string => builder.node('LogSoftmax', [builder.node('Div', [value, heat])], { axis: int(-1) });
  const [own, wanted] = [logChances(logits), logChances(alike(builder, teacher, logits))];
  const terms = builder.node('Mul', [builder.node('Exp', [wanted]), builder.node('Sub', [wanted, own])]);
  const perSample = builder.node('ReduceSum', [terms, builder.int64([-1])], { keepdims: int(0) });
  return builder.node('Mul', [builder.node('ReduceMean', [perSample], { keepdims: int(0) }), builder.float32([temperature ** 2], [])]);
}

/** The same for yes-or-no outputs: T² times the cross-entropy of sigmoid(logits / T) against sigmoid(teacher / T). */
export function binaryDistillation(builder: GraphBuilder, logits: string, teacher: string, temperature: number): string {
  const heat = builder.float32([temperature], []);
  const wanted = builder.node('Sigmoid', [builder.node('Div', [teacher, heat])]);
  const loss = binaryCrossEntropy(builder, builder.node('Div', [logits, heat]), wanted);
  return builder.node('Mul', [loss, builder.float32([temperature ** 2], [])]);
}

/** The same numbers, now known to have as many samples as `like`: where sizes are open, gradients would have to find that out. */
function alike(builder: GraphBuilder, value: string, like: string): string {
  return builder.node('Reshape', [value, builder.node('Shape', [like])]);
}

/** [N, ...]: -log softmax(logits)[label] of every sample; 0 where the label is below 0. */
function crossEntropies(builder: GraphBuilder, logits: string, labels: string): string {
  const { shape } = builder.facts(logits);
  const classes = shape?.[shape.length - 1];
  // Which column is each sample's: 1 there, 0 elsewhere.
  const [zero, one] = [builder.int64([0], []), builder.int64([1], [])];
  const count = typeof classes === 'number' ? builder.int64([classes], []) : builder.node('Squeeze', [builder.node('Shape', [logits], { start: int(-1) })]);
  const own = builder.node('Reshape', [labels, builder.node('Shape', [logits], { end: int(-1) })]);
  const wide = builder.node('Unsqueeze', [builder.node('Cast', [own], { to: int(7) }), builder.int64([-1])]);
  const hits = builder.node('Equal', [wide, builder.node('Range', [zero, count, one])]);
  const wanted = builder.node('CastLike', [hits, logits]);
  const chances = builder.node('LogSoftmax', [logits], { axis: int(-1) });
  return builder.node('Neg', [builder.node('ReduceSum', [builder.node('Mul', [chances, wanted]), builder.int64([-1])], { keepdims: int(0) })]);
}
