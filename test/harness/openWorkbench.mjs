// @ts-check
import fs from 'node:fs';
import path from 'node:path';
import { launchBrowser, openPage } from './browser.mjs';
import { loadDevExtension, uriPath } from './devExtension.mjs';
import { repoRoot } from './paths.mjs';
import { addWorkspaceSettings, copySampleWorkspace } from './sampleWorkspace.mjs';
import { startVscodeServer } from './vscodeServer.mjs';
import { Workbench } from './workbench.mjs';

/**
 * Opens a copy of a workspace in a real VS Code with the extension loaded from `dist/`, in a fresh browser profile.
 *
 *     const workbench = await openWorkbench({ theme: 'dark' });
 *     try { … } finally { await workbench.close(); }
 *
 * The server is the one that the test runner started (its address is in $PARTICLIZE_VSCODE_URL); without a runner, each
 * call starts its own, of the version in $PARTICLIZE_VSCODE_VERSION or the newest.
 * @param {{
 *   from?: string,
 *   theme?: import('./workbench.mjs').Theme,
 *   settings?: Record<string, unknown>,
 *   extension?: string,
 *   server?: import('./vscodeServer.mjs').VscodeServer,
 *   viewport?: { width: number, height: number },
 *   tests?: string,
 *   beforeOpening?: (page: import('playwright-core').Page) => Promise<void>,
 * }} [options] `from` is the workspace to copy (default: the sample); `theme` is 'light' unless said; `settings` go to
 *   the copy's workspace settings; `extension` is the folder to load ('' for none: the installed ones only); `tests` is
 *   an entry to run inside the extension host
 * @returns {Promise<Workbench>} once the explorer shows the folder's files
 */
export async function openWorkbench(options = {}) {
  const folder = copySampleWorkspace(undefined, options.from);
  const shared = options.server ?? runnersServer();
  const version = shared?.version ?? process.env.PARTICLIZE_VSCODE_VERSION ?? '1.139';
  addWorkspaceSettings(folder, options.settings ?? {});
  const server = shared ?? (await startVscodeServer(version));
  const browser = await launchBrowser();
  const { page, problems } = await openPage(browser, { viewport: options.viewport ?? { width: 1280, height: 800 } });
  const close = async () => {
    await browser.close();
    if (shared === undefined) await server.stop();
    fs.rmSync(path.dirname(folder), { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };
  try {
    const extension = options.extension ?? repoRoot;
    if (extension !== '') await loadDevExtension(page, server.url, { extension, tests: options.tests });
    await options.beforeOpening?.(page);
    await page.goto(`${server.url}/?folder=${encodeURIComponent(uriPath(folder))}`, { waitUntil: 'domcontentloaded' });
    const workbench = new Workbench({ page, problems, folder, version, close });
    if (options.tests !== undefined) return workbench;
    await workbench.waitUntilOpen();
    // VS Code passes over a workspace's theme while it opens, but follows a change.
    await workbench.setTheme(options.theme ?? 'light');
    return workbench;
  } catch (error) {
    // What the window showed says more than the error.
    await page.screenshot({ path: path.join(Workbench.screenshotDir(), 'open-failed.png') }).catch(() => undefined);
    await close();
    throw error;
  }
}

/** @returns {Pick<import('./vscodeServer.mjs').VscodeServer, 'url' | 'version' | 'stop'> | undefined} */
function runnersServer() {
  const url = process.env.PARTICLIZE_VSCODE_URL;
  const version = process.env.PARTICLIZE_VSCODE_VERSION;
  if (url === undefined || version === undefined) return undefined;
  return { url, version, stop: async () => undefined };
}
