// @ts-check
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { installVscode } from './installVscode.mjs';
import { HarnessError, runOrFail, stopGroup } from './processes.mjs';

/**
 * A running VS Code that a browser can open.
 * @typedef {{
 *   url: string,
 *   version: string,
 *   log: () => string,
 *   stop: () => Promise<void>,
 * }} VscodeServer
 */

/**
 * Starts a VS Code on 127.0.0.1 and waits until it answers.
 * @param {string} version such as '1.139'; installed when it is not there yet
 * @param {{
 *   dataDir?: string,
 *   preferredPort?: number,
 *   settings?: Record<string, unknown>,
 *   env?: NodeJS.ProcessEnv,
 *   installVsix?: string,
 * }} [options] `dataDir` keeps its user data and extensions (default: a temporary folder, removed by `stop`);
 *   `preferredPort` is taken when it is free; `settings` are added to the user settings; `installVsix` is installed before it starts
 * @returns {Promise<VscodeServer>}
 */
export async function startVscodeServer(version, options = {}) {
  const { node, entry } = await installVscode(version);
  const home = options.dataDir ?? fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-vscode-'));
  const userData = path.join(home, 'user-data');
  writeSettings(userData, options.settings ?? {});
  const env = serverEnvironment(home, options.env);
  const folders = ['--user-data-dir', userData, '--extensions-dir', path.join(home, 'extensions')];
  if (options.installVsix !== undefined) {
    const args = [entry, '--install-extension', options.installVsix, ...folders];
    await runOrFail(`Installing ${path.basename(options.installVsix)}`, node, args, { env, quiet: true });
  }

  const port = await freePort(options.preferredPort);
  const url = `http://127.0.0.1:${port}`;
  const logFile = path.join(home, 'server.log');
  const logHandle = fs.openSync(logFile, 'w');
  const args = [entry, '--auth', 'none', '--bind-addr', `127.0.0.1:${port}`, ...folders, ...quietFlags];
  const child = spawn(node, args, { cwd: home, env, detached: true, stdio: ['ignore', logHandle, logHandle] });
  fs.closeSync(logHandle);
  const log = () => fs.readFileSync(logFile, 'utf8');

  // A harness that dies must not leave a server behind.
  const lastResort = () => child.pid !== undefined && process.platform !== 'win32' && killQuietly(-child.pid);
  process.once('exit', lastResort);
  const stop = async () => {
    process.off('exit', lastResort);
    await stopGroup(child);
    if (options.dataDir === undefined) fs.rmSync(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };

  try {
    await waitUntilHealthy(url, child);
  } catch (error) {
    const tail = log().slice(-2000);
    await stop();
    throw new HarnessError(`VS Code ${version} did not start: ${/** @type {Error} */ (error).message}\n${tail}`);
  }
  return { url, version, log, stop };
}

const quietFlags = [
  '--disable-telemetry',
  '--disable-update-check',
  '--disable-workspace-trust',
  '--disable-getting-started-override',
];

const quietSettings = {
  'security.workspace.trust.enabled': false,
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.welcomePage.walkthroughs.openOnInstall': false,
  'window.menuBarVisibility': 'compact',
  'window.autoDetectColorScheme': false,
  'telemetry.telemetryLevel': 'off',
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true,
  'chat.disableAIFeatures': true,
  'git.enabled': false,
  'files.autoSave': 'off',
};

/** Settings that are there already (a user's own, in a kept folder) win. */
function writeSettings(/** @type {string} */ userData, /** @type {Record<string, unknown>} */ settings) {
  const file = path.join(userData, 'User', 'settings.json');
  if (fs.existsSync(file)) return;
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, JSON.stringify({ ...quietSettings, ...settings }, undefined, 2));
}

/**
 * A VS Code started from a VS Code's terminal would otherwise believe that it is part of that one.
 * @param {string} home @param {NodeJS.ProcessEnv} [extra]
 */
function serverEnvironment(home, extra) {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(VSCODE_|ELECTRON_|npm_|NODE_OPTIONS$)/.test(name));
  return {
    ...Object.fromEntries(inherited),
    XDG_DATA_HOME: path.join(home, 'data'),
    XDG_CONFIG_HOME: path.join(home, 'config'),
    ...extra,
  };
}

/** @param {number} [preferred] @returns {Promise<number>} */
function freePort(preferred = 0) {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once('error', (error) => (preferred === 0 ? reject(error) : resolve(freePort())));
    probe.listen(preferred, '127.0.0.1', () => {
      const { port } = /** @type {net.AddressInfo} */ (probe.address());
      probe.close(() => resolve(port));
    });
  });
}

/** @param {string} url @param {import('node:child_process').ChildProcess} child */
async function waitUntilHealthy(url, child) {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (child.exitCode !== null) throw new Error(`it ended with exit code ${child.exitCode}.`);
    const answer = await fetch(`${url}/healthz`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('it did not answer within 30 s.');
}

/** @param {number} pid */
function killQuietly(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}
