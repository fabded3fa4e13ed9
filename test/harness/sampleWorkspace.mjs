// @ts-check
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { sampleDir } from './paths.mjs';
import { HarnessError } from './processes.mjs';

/**
 * Copies the sample workspace, so that whatever is done in it leaves the repository as it is.
 * @param {string} [to] folder to make (default: one of the same name in a new temporary folder)
 * @param {string} [from] another workspace than the sample
 * @returns {string} the copy's path
 */
export function copySampleWorkspace(to, from = sampleDir) {
  if (!fs.existsSync(from)) throw new HarnessError(`The sample workspace ${from} is missing.`);
  const folder = to ?? path.join(fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-'))), path.basename(from));
  fs.cpSync(from, folder, { recursive: true });
  return folder;
}

/**
 * Adds settings to a workspace's `.vscode/settings.json`.
 * @param {string} folder @param {Record<string, unknown>} settings
 */
export function addWorkspaceSettings(folder, settings) {
  const file = path.join(folder, '.vscode', 'settings.json');
  const present = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : {};
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, `${JSON.stringify({ ...present, ...settings }, undefined, 2)}\n`);
}
