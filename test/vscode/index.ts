import { readdirSync } from 'node:fs';
import path from 'node:path';
import { format } from 'node:util';
import Mocha from 'mocha';

/**
 * What VS Code calls inside its extension host: runs every *.test.js beside this file (each is one test/vscode/*.test.ts).
 * A rejection becomes exit code 1.
 */
export async function run(): Promise<void> {
  const reporter = path.resolve(__dirname, '..', '..', '..', 'test', 'harness', 'totalsReporter.cjs');
  // Marked, because the window's own messages come out of the same pipe.
  Mocha.reporters.Base.consoleLog = (...words: unknown[]) => console.log(`│ ${format(...words)}`);
  const mocha = new Mocha({ ui: 'bdd', timeout: 60_000, color: false, reporter });
  const grep = process.env['PARTICLIZE_GREP'];
  if (grep) mocha.grep(grep);
  for (const name of readdirSync(__dirname)) {
    if (name.endsWith('.test.js')) mocha.addFile(path.join(__dirname, name));
  }
  const failures = await new Promise<number>((resolve) => mocha.run(resolve));
  if (failures > 0) throw new Error(`${failures} failed`);
}
