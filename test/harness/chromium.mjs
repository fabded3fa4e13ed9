// @ts-check
import fs from 'node:fs';
import path from 'node:path';
import { findOnPath, HarnessError, progress, runOrFail } from './processes.mjs';

/**
 * The browser that tests run in: $CHROMIUM, else an installed Chromium, Chrome or Edge; on Debian and Ubuntu as root,
 * Chromium is installed when there is none.
 * @returns {Promise<string>} path of the program
 */
export async function findChromium() {
  const named = process.env.CHROMIUM;
  if (named !== undefined && named !== '') {
    if (fs.existsSync(named)) return named;
    throw new HarnessError(`CHROMIUM names ${named}, which does not exist.`);
  }
  const installed = installedBrowser();
  if (installed !== undefined) return installed;
  if (process.getuid?.() === 0 && findOnPath('apt-get') !== undefined) {
    progress('Installing Chromium');
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    await runOrFail('apt-get update', 'apt-get', ['update', '-qq'], { quiet: true, env });
    await runOrFail('apt-get install chromium', 'apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], {
      quiet: true,
      env,
    });
    const now = installedBrowser();
    if (now !== undefined) return now;
  }
  throw new HarnessError(
    'The browser tests need Chromium, Chrome or Edge: install one, or set CHROMIUM to the path of its program.',
  );
}

/** @returns {string | undefined} */
function installedBrowser() {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'microsoft-edge'];
  const onPath = names.map(findOnPath).find((file) => file !== undefined);
  return onPath ?? usualPlaces().find((file) => fs.existsSync(file));
}

/** @returns {string[]} */
function usualPlaces() {
  if (process.platform === 'darwin') {
    const names = ['Chromium', 'Google Chrome', 'Microsoft Edge'];
    return names.map((name) => `/Applications/${name}.app/Contents/MacOS/${name}`);
  }
  if (process.platform !== 'win32') return [];
  const { PROGRAMFILES, 'PROGRAMFILES(X86)': programFilesX86, LOCALAPPDATA } = process.env;
  const bases = [PROGRAMFILES, programFilesX86, LOCALAPPDATA].filter((base) => base !== undefined);
  const places = ['Google\\Chrome\\Application\\chrome.exe', 'Microsoft\\Edge\\Application\\msedge.exe'];
  return bases.flatMap((base) => places.map((place) => path.join(base, place)));
}
