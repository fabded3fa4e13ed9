// @ts-check
// Tests the extension in real VS Codes: node test/harness/testVscode.mjs [--version 1.139] [--only host|scenarios] [--grep TEXT]
import { parseArgs } from 'node:util';
import { build, ensureDependencies } from './dependencies.mjs';
import { installVscode, vscodeVersions } from './installVscode.mjs';
import { isMain, progress, runMain } from './processes.mjs';
import { closingLine, exitCodeOf, sumTotals, totalsFile } from './totals.mjs';

/**
 * @param {{ versions?: string[], only?: string, grep?: string, env?: NodeJS.ProcessEnv }} [options] `versions` of VS
 *   Code (default: all); `only` the tests in the extension 'host' or the 'scenarios' in the window; `grep` of their
 *   titles; `env` variables for tests and extension
 * @returns {Promise<import('./totals.mjs').Totals>}
 */
export async function runVscodeTests({ versions, only, grep, env } = {}) {
  // Loaded here: they need npm packages, which a fresh clone gets on the way.
  const { startVscodeServer } = await import('./vscodeServer.mjs');
  const { runExtensionHostTests } = await import('./extensionHostTests.mjs');
  const { runMocha } = await import('./mochaRun.mjs');
  const all = [];
  for (const version of versions ?? vscodeVersions.map(({ vscode }) => vscode)) {
    await installVscode(version);
    const hostName = `Extension host, VS Code ${version}`;
    const totals = totalsFile(hostName);
    const server = await startVscodeServer(version, {
      env: { ...env, PARTICLIZE_TOTALS: totals, PARTICLIZE_GREP: grep ?? '' },
    });
    try {
      if (only !== 'scenarios') {
        progress(hostName);
        all.push(await runExtensionHostTests(server, hostName, totals));
      }
      if (only !== 'host') {
        const name = `Scenarios, VS Code ${version}`;
        progress(name);
        all.push(
          await runMocha(name, {
            files: ['test/vscode/scenarios/**/*.scenario.ts'],
            args: ['--timeout', '180000', ...(grep === undefined ? [] : ['--grep', grep])],
            env: { ...env, PARTICLIZE_VSCODE_URL: server.url, PARTICLIZE_VSCODE_VERSION: version },
          }),
        );
      }
    } finally {
      await server.stop();
    }
  }
  return sumTotals(all);
}

if (isMain(import.meta.url)) {
  runMain(async () => {
    const { values } = parseArgs({
      options: { version: { type: 'string', multiple: true }, only: { type: 'string' }, grep: { type: 'string' } },
    });
    await ensureDependencies();
    await build(['--tests']);
    const totals = await runVscodeTests({ versions: values.version, only: values.only, grep: values.grep });
    console.log(closingLine(totals));
    return exitCodeOf(totals);
  });
}
