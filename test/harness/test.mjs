// @ts-check
// Every test there is, from a fresh clone: node test/harness/test.mjs. Its last line is "N passed, N failed".
import path from 'node:path';
import { build, ensureDependencies } from './dependencies.mjs';
import { vscodeVersions } from './installVscode.mjs';
import { repoRoot } from './paths.mjs';
import { makePythonEnvironment, pythonOf } from './python.mjs';
import { progress, run, runMain } from './processes.mjs';
import { runVscodeTests } from './testVscode.mjs';
import { closingLine, exitCodeOf, sumTotals } from './totals.mjs';

runMain(async () => {
  await ensureDependencies();
  const { runMocha } = await import('./mochaRun.mjs');
  const { findChromium } = await import('./chromium.mjs');
  await build(['--tests']);

  // The downloads of the later steps run beside the first tests.
  const vscodes = run(process.execPath, [path.join(repoRoot, 'test', 'harness', 'installVscode.mjs')]);
  if (process.env.CI !== undefined) await makePythonEnvironment();
  const python = process.env.PARTICLIZE_PYTHON ?? pythonOf();
  const env = python === undefined ? {} : { PARTICLIZE_PYTHON: python };

  progress('Tests on Node');
  const node = await runMocha('Node', {
    files: ['test/**/*.test.ts'],
    ignore: ['test/webview/**', 'test/vscode/**'],
    args: ['--parallel', '--jobs', '2', '--timeout', '60000'],
    env,
  });

  progress('Webviews in a real browser');
  const chromium = await findChromium();
  const webview = await runMocha('Webviews', {
    files: ['test/webview/**/*.test.ts'],
    args: ['--timeout', '60000'],
    env: { ...env, CHROMIUM: chromium },
  });

  if ((await vscodes) !== 0) progress('Installing VS Code failed; trying once more');
  const vscode = await runVscodeTests({ versions: vscodeVersions.map((version) => version.vscode) });

  const totals = sumTotals([node, webview, vscode]);
  console.log(closingLine(totals));
  return exitCodeOf(totals);
});
