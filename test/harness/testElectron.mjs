// @ts-check
// Runs the extension host's tests in desktop VS Code: node test/harness/testElectron.mjs [VERSION, default stable]
import fs from 'node:fs';
import path from 'node:path';
import { build, ensureDependencies } from './dependencies.mjs';
import { distDir, repoRoot } from './paths.mjs';
import { HarnessError, runMain } from './processes.mjs';
import { copySampleWorkspace } from './sampleWorkspace.mjs';
import { closingLine, exitCodeOf, readTotals, totalsFile } from './totals.mjs';

runMain(async () => {
  const version = process.argv[2] ?? 'stable';
  await ensureDependencies();
  await build(['--tests']);
  const { downloadAndUnzipVSCode, runTests } = await import('@vscode/test-electron');
  const vscodeExecutablePath = await downloadAndUnzipVSCode({
    version,
    cachePath: path.join(repoRoot, '.cache', 'vscode-test'),
  }).catch((/** @type {Error} */ error) => {
    throw new HarnessError(
      `Desktop VS Code ${version} could not be downloaded (${firstLine(error)}). ` +
        'Where that download is not allowed, "npm run test:vscode" runs the same tests in a VS Code from npm.',
    );
  });

  const name = `Extension host, desktop VS Code ${version}`;
  const totals = totalsFile(name);
  fs.rmSync(totals, { force: true });
  const workspace = copySampleWorkspace();
  const userData = path.dirname(workspace);
  try {
    const code = await runTests({
      vscodeExecutablePath,
      extensionDevelopmentPath: repoRoot,
      extensionTestsPath: path.join(distDir, 'test', 'vscode', 'index.js'),
      extensionTestsEnv: { PARTICLIZE_TOTALS: totals },
      launchArgs: [
        workspace,
        '--disable-extensions',
        '--disable-workspace-trust',
        '--skip-welcome',
        `--user-data-dir=${path.join(userData, 'user-data')}`,
        ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      ],
    }).catch(() => 1);
    const counted = readTotals(name, totals, code);
    console.log(closingLine(counted));
    return exitCodeOf(counted);
  } finally {
    fs.rmSync(userData, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
});

/** @param {Error} error */
function firstLine(error) {
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : '';
  return `${error.message}${cause}`.split('\n')[0];
}
