import { formatNumber, formatPercent } from '../../src/core/charts/numberFormat';
import type { Prediction } from '../../src/compute/protocol';
import { h } from '../shared/dom';
import { extent } from '../shared/picture';
import { strings } from '../shared/strings';

export interface PredictionInput extends Prediction {
  readonly label?: string;
  /** The scores with particles muted, drawn below those as they are. */
  readonly muted?: ArrayLike<number>;
}

/** The five highest scores. Probabilities read as percent, anything else as the number it is. */
export function predictionBars({ classes, scores, muted, label }: PredictionInput): HTMLElement {
  const highest = (values: ArrayLike<number>) => Array.from({ length: values.length }, (_, i) => i).sort((a, b) => values[b]! - values[a]!);
  // What the muted model says comes first too: it may be another class.
  const order = [...new Set([highest(scores)[0]!, ...(muted ? [highest(muted)[0]!] : []), ...highest(scores)])].slice(0, 5);
  const { min, max } = extent(muted ? Float32Array.from([...scores, ...Array.from(muted)]) : scores);
  const probabilities = min >= 0 && max <= 1.0001;
  const low = probabilities ? 0 : Math.min(0, min);
  const span = (probabilities ? 1 : max) - low || 1;
  const text = (score: number) => (probabilities ? formatPercent(score) : formatNumber(score));
  const track = (score: number, kind: string) => {
    const bar = h('span', { class: kind });
    bar.style.width = `${Math.max(0, Math.min(100, ((score - low) / span) * 100))}%`;
    return h('span', { class: 'bar-track', attributes: { 'aria-hidden': 'true' } }, bar);
  };
  return h(
    'div',
    { class: 'prediction' },
    h('div', { class: 'muted' }, muted ? `${strings.prediction}: ${strings.asItIs}, ${strings.whenMuted}` : strings.prediction),
    ...order.map((index) => {
      const name = classes[index] ?? String(index);
      return h(
        'div',
        { class: name === label ? 'bar right' : 'bar' },
        h('span', { class: 'bar-name', title: name }, name),
        h('span', { class: 'bar-tracks' }, track(scores[index]!, 'bar-fill'), muted ? track(muted[index]!, 'bar-fill second') : null),
        h('span', { class: 'bar-value' }, text(scores[index]!), muted ? h('span', { class: 'bar-second' }, text(muted[index]!)) : null),
      );
    }),
  );
}

/** What the model's answer is before and after, in one sentence; undefined where an answer is no class. */
export function answerText({ classes, scores, muted }: PredictionInput): string | undefined {
  if (!muted || scores.length < 2) return undefined;
  const best = (values: ArrayLike<number>) => Array.from(values).reduce((top, value, i, all) => (value > all[top]! ? i : top), 0);
  const [before, after] = [best(scores), best(muted)];
  const { min, max } = extent(scores);
  const text = (score: number) => (min >= 0 && max <= 1.0001 ? formatPercent(score, 1) : formatNumber(score));
  const name = (index: number) => classes[index] ?? String(index);
  return before === after
    ? strings.answerStays(name(before), text(scores[before]!), text(muted[before]!))
    : strings.answerChanges(`${name(before)} (${text(scores[before]!)})`, `${name(after)} (${text(muted[after]!)})`);
}
