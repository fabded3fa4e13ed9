// @ts-check
// Every test there is, from a fresh clone: node test/harness/test.mjs. Its last line is "N passed, N failed".
import path from 'node:path';
import { findChromium } from './chromium.mjs';
import { build, ensureDependencies } from './dependencies.mjs';
import { vscodeVersions } from './installVscode.mjs';
import { repoRoot } from './paths.mjs';
import { makePythonEnvironment, pythonOf } from './python.mjs';
import { HarnessError, progress, run, runMain } from './processes.mjs';
import { runVscodeTests } from './testVscode.mjs';
import { makeTfjsNode, tfjsNodeOf } from './tfjsNode.mjs';
import { closingLine, exitCodeOf, sumTotals } from './totals.mjs';

runMain(async () => {
  const totals = sumTotals(await runEverything());
  console.log(closingLine(totals));
  return exitCodeOf(totals);
});

/** @returns {Promise<import('./totals.mjs').Totals[]>} of each part; one that cannot run at all is one failure */
async function runEverything() {
  const prepared = await attempt('Preparing', async () => {
    await ensureDependencies();
    await build(['--tests']);
    return sumTotals([]);
  });
  if (prepared.failed > 0) return [prepared];
  const { runMocha } = await import('./mochaRun.mjs');

  // The downloads of the later steps run beside the first tests.
  const vscodes = run(process.execPath, [path.join(repoRoot, 'test', 'harness', 'installVscode.mjs')]);
  const python = process.env.PARTICLIZE_PYTHON ?? (process.env.CI === undefined ? pythonOf() : await makePythonEnvironment());
  const tfjsNode = process.env.PARTICLIZE_TFJS_NODE ?? (process.env.CI === undefined ? tfjsNodeOf() : await makeTfjsNode(python));
  const env = {
    ...(python !== undefined && { PARTICLIZE_PYTHON: python }),
    ...(tfjsNode !== undefined && { PARTICLIZE_TFJS_NODE: tfjsNode }),
  };

  const node = await attempt('Tests on Node', () =>
    runMocha('Node', {
      files: ['test/**/*.test.ts'],
      ignore: ['test/webview/**', 'test/vscode/**'],
      args: ['--parallel', '--jobs', '2', '--timeout', '60000'],
      env,
    }),
  );
  const webviews = await attempt('Webviews in a real browser', async () =>
    runMocha('Webviews', {
      files: ['test/webview/**/*.test.ts'],
      args: ['--timeout', '60000'],
      env: { ...env, CHROMIUM: await findChromium() },
    }),
  );
  if ((await vscodes) !== 0) progress('Installing VS Code failed; it is tried once more.');
  const results = [node, webviews];
  for (const { vscode: version } of vscodeVersions) {
    results.push(await attempt(`VS Code ${version}`, () => runVscodeTests({ versions: [version], env })));
  }
  return results;
}

/** @param {string} name @param {() => Promise<import('./totals.mjs').Totals>} part */
async function attempt(name, part) {
  progress(name);
  try {
    return await part();
  } catch (error) {
    console.error(`${name}:`, error instanceof HarnessError ? error.message : error);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}
