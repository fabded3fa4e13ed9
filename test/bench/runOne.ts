import path from 'node:path';
import type { Bench, Row } from './measure';

/** Runs one bench file and prints its table (GitHub Markdown, so that it can go into the README as it is). */
async function main(): Promise<void> {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- the file is named on the command line
  const { bench } = require(path.resolve(process.argv[2]!)) as { bench: Bench };
  console.log(`\n### ${bench.title}\n`);
  const rows = await bench.run();
  const columns: readonly (keyof Row)[] = ['what', 'ours', 'against', 'theirs', 'ratio'];
  const heads = ['what', 'Particlize', 'against', 'it', 'ratio'];
  const width = columns.map((column, index) => Math.max(heads[index]!.length, ...rows.map((row) => row[column].length)));
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, index) => cell.padEnd(width[index]!)).join(' | ')} |`;
  console.log(line(heads));
  console.log(`|${width.map((size) => '-'.repeat(size + 2)).join('|')}|`);
  for (const row of rows) console.log(line(columns.map((column) => row[column])));
}

main().then(
  () => process.exit(),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
