import path from 'node:path';
import type { CloseEvaluation } from '../../compute/protocol';
import type { Confusion } from '../../core/evaluate/comparison';
import { dataOption, openModel, recipePath, samplesOption, text, whole, type Stage } from '../stage';
import { figure, textFacts, textTable } from '../textTable';
import { changeText } from './suggest';

export const evaluate: Stage = {
  name: 'evaluate',
  summary: 'How good and how costly the model is; against another one, what the change costs and who pays for it',
  positionals: ['FILE'],
  required: ['data'],
  options: {
    ...dataOption, ...samplesOption,
    against: { type: 'string', value: 'ORIGINAL', text: 'The model that it was made from' },
  },
  async run(args, services) {
    const { model } = await openModel(args, services);
    const against = text(args, 'against');
    const result = await services.sessions.evaluateClosely({
      model, recipe: recipePath(args), samples: whole(args, 'samples', 1), against: against && path.resolve(against),
    }, services.task);
    return { json: result, text: () => evaluationText(result) };
  },
};

/** A matrix with more classes than this is for the JSON only. */
const widestMatrix = 20;

export function evaluationText(result: CloseEvaluation): string {
  const { against, comparison, confusion, groups, latency } = result;
  const fact = (name: string, value: number, before: number | undefined): readonly [string, string | number] =>
    [name, before === undefined ? value : changeText(before, value)];
  return [
    textFacts([
      fact('loss', result.loss, against?.loss), ...Object.entries(result.metrics).map(([name, value]) => fact(name, value, against?.metrics[name])),
      ['samples', result.samples], fact('parameters', result.parameters, against?.parameters), fact('multiply-accumulates', result.macs, against?.macs),
      fact('bytes of weights', result.bytes, against?.bytes), fact('bytes of the file', result.fileBytes, against?.fileBytes),
      fact('milliseconds a sample', latency.medianMs, against?.latency.medianMs),
      ['measured', `median of ${latency.runs} runs, one sample at a time, ${latency.engine}, ${latency.threads} ${latency.threads === 1 ? 'thread' : 'threads'}`],
    ]),
    groups ? textTable(['group', 'samples', 'loss', ...Object.keys(groups[0]!.metrics)], groups.map(({ group, samples, loss, metrics }) => [group, samples, loss, ...Object.values(metrics)])) : '',
    against?.confusion ? `Before (rows: right class, columns: chosen):\n${matrixText(against.confusion)}` : '',
    confusion ? `${against ? 'After' : 'Right class (rows) and chosen class (columns)'}:\n${matrixText(confusion)}` : '',
    comparison ? `${comparison.lost} ${comparison.lost === 1 ? 'sample' : 'samples'} worse and ${comparison.won} better than before, of ${figure(comparison.samples)}.\n` : '',
    comparison?.classes ? textTable(['class', 'samples', 'recall before', 'after'], comparison.classes.map(({ name, samples, before, after }) => [name, samples, before, after])) : '',
    comparison?.paid.length ? textTable(['paid most', 'loss before', 'after'], comparison.paid.map(({ title, before, after }) => [title, before, after])) : '',
  ].filter(Boolean).join('\n');
}

function matrixText({ classes, counts }: Confusion): string {
  if (classes.length > widestMatrix) return `${classes.length} classes: --json has all of it.\n`;
  return textTable(['', ...classes], classes.map((name, row) => [name, ...counts.slice(row * classes.length, (row + 1) * classes.length)]));
}
