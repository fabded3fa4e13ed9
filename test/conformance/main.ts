import fs from 'node:fs';
import path from 'node:path';
import { backendNodeFile } from '../core/support/backendNode';
import { runConformance, type Counts, type Verdict } from './conformance';

const expectations = path.join(__dirname, 'expected.json');
const verdicts: readonly Verdict[] = ['passed', 'opaque', 'failed', 'absent'];

/** Prints the table of ONNX's operator tests by operator. `--write` records the counts; a word chooses cases by name. */
async function main(): Promise<void> {
  if (!fs.existsSync(backendNodeFile)) {
    console.log('The archive of ONNX\'s operator tests (onnx-backend-node.tgz) is not here.');
    return;
  }
  const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));
  const { cases, operators, failures } = await runConformance(words[0] ? new RegExp(words[0]) : undefined);
  const header = ['operator', ...['shapes', 'ONNX Runtime', 'TensorFlow.js'].map((part) => `${part} (${verdicts.join('/')})`)];
  const lines = Object.entries(operators).map(([op, { shapes, ort, tfjs }]) => [op, ...[shapes, ort, tfjs].map(text)]);
  const totals = (['shapes', 'ort', 'tfjs'] as const).map((part) => text(Object.values(operators).map((row) => row[part]).reduce(plus, {})));
  const widths = header.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]!.length)));
  for (const line of [header, ...lines, [`all ${cases}`, ...totals]]) console.log(line.map((cell, column) => cell.padEnd(widths[column]!)).join('  '));
  for (const failure of failures) console.log(failure);
  if (process.argv.includes('--write') && !words.length) {
    const rows = Object.entries(operators).map(([op, row]) => `  ${JSON.stringify(op)}: ${JSON.stringify(row)}`);
    fs.writeFileSync(expectations, `{\n${rows.join(',\n')}\n}\n`);
  }
  process.exitCode = failures.length ? 1 : 0;
}

function text(counts: Counts): string {
  return verdicts.map((verdict) => counts[verdict] ?? 0).join('/');
}

function plus(left: Counts, right: Counts): Counts {
  return Object.fromEntries(verdicts.map((verdict) => [verdict, (left[verdict] ?? 0) + (right[verdict] ?? 0)]));
}

void main();
