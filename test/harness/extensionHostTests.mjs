// @ts-check
import path from 'node:path';
import fs from 'node:fs';
import { openWorkbench } from './openWorkbench.mjs';
import { distDir } from './paths.mjs';
import { readTotals } from './totals.mjs';

/** Milliseconds for the whole suite; one that hangs ends here. */
const suiteLimit = 10 * 60_000;

/**
 * Runs test/vscode/*.test.ts (built into dist/) inside the extension host of a browser VS Code, on a copy of the sample.
 * @param {import('./vscodeServer.mjs').VscodeServer} server started with $PARTICLIZE_TOTALS naming `totals`
 * @param {string} name of this run, for messages
 * @param {string} totals the file that the suite writes its totals to
 * @returns {Promise<import('./totals.mjs').Totals>}
 */
export async function runExtensionHostTests(server, name, totals) {
  fs.rmSync(totals, { force: true });
  /** @type {(code: number) => void} */
  let finish = () => undefined;
  /** @type {Promise<number>} */
  const exit = new Promise((resolve) => (finish = resolve));
  const workbench = await openWorkbench({
    server,
    tests: path.join(distDir, 'test', 'vscode', 'index.js'),
    beforeOpening: async (page) => {
      // The workbench hands on what the tests print, and calls the second one when they are done.
      await page.exposeFunction('codeAutomationLog', (/** @type {string} */ type, /** @type {unknown[]} */ words) => {
        const text = words.map(String).join(' ');
        if (text.startsWith('│ ')) console.log(text.slice(2));
        else if (process.env.VERBOSE !== undefined) console.log(text);
      });
      await page.exposeFunction('codeAutomationExit', (/** @type {number} */ code) => finish(code));
    },
  });
  const limit = setTimeout(() => {
    console.error(`${name}: no end after ${suiteLimit / 60_000} minutes.`);
    finish(98);
  }, suiteLimit);
  const code = await exit;
  clearTimeout(limit);
  await workbench.close();
  return readTotals(name, totals, code);
}
