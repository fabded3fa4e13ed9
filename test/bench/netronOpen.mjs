// @ts-check
// node netronOpen.mjs NETRON_FOLDER FILE: opens a model with netron's own reader (the folder is that of its Python or npm
// package) as far as its list of layers, and prints how many nodes it found.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder = '', file = ''] = process.argv.slice(2);
const load = (/** @type {string} */ name) => import(pathToFileURL(path.join(folder, `${name}.js`)).href);
const [{ ModelFactoryService }, { FileStream }] = await Promise.all([load('view'), load('node')]);

/** What the reader asks of the program around it. */
const host = {
  require: (/** @type {string} */ id) => load(id),
  environment: () => undefined,
  event: () => undefined,
  exception: (/** @type {Error} */ error) => { throw error; },
};
const streamOf = (/** @type {string} */ name) => {
  const { size, mtimeMs } = fs.statSync(name);
  return new FileStream(name, 0, size, mtimeMs);
};
const context = {
  identifier: path.basename(file),
  stream: streamOf(file),
  entries: new Map(),
  require: (/** @type {string} */ id) => load(id.replace(/^\.\//, '')),
  asset: async (/** @type {string} */ name) => fs.readFileSync(path.join(folder, name), 'utf8'),
  fetch: async (/** @type {string} */ name) => streamOf(path.join(path.dirname(file), name)),
  request: async (/** @type {string} */ name) => streamOf(path.join(path.dirname(file), name)),
  error: () => undefined,
};
const model = await new ModelFactoryService(host).open(context);
const nodes = model.modules.reduce((/** @type {number} */ sum, /** @type {{ nodes: unknown[] }} */ module) => sum + module.nodes.length, 0);
console.log(`${model.format}: ${nodes} nodes`);
