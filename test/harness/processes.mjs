// @ts-check
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { repoRoot } from './paths.mjs';

/**
 * Runs a program to its end and returns its exit code; its output goes to this terminal, or nowhere when `quiet`
 * (then it is shown if the program fails).
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, quiet?: boolean }} [options]
 * @returns {Promise<number>}
 */
export function run(program, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd ?? repoRoot,
      env: options.env ?? process.env,
      stdio: options.quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
    });
    /** @type {Buffer[]} */
    const output = [];
    child.stdout?.on('data', (chunk) => output.push(chunk));
    child.stderr?.on('data', (chunk) => output.push(chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (options.quiet && code !== 0) process.stderr.write(Buffer.concat(output));
      resolve(code ?? (signal ? 128 : 1));
    });
  });
}

/**
 * Like `run`, but a failure is an error with a sentence for the reader.
 * @param {string} what the step's name, as it reads in "… failed"
 * @param {string} program
 * @param {string[]} args
 * @param {Parameters<typeof run>[2]} [options]
 */
export async function runOrFail(what, program, args, options) {
  const code = await run(program, args, options);
  if (code !== 0) throw new HarnessError(`${what} failed (exit code ${code}).`);
}

/**
 * npm's own program file run by this Node, so that no shell is needed on Windows either.
 * @param {string[]} args
 * @returns {{ program: string, args: string[] }}
 */
export function npm(args) {
  const beside = path.dirname(process.execPath);
  const candidates = [
    process.env.npm_execpath,
    path.join(beside, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    path.join(beside, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
  ];
  const cli = candidates.find((file) => file !== undefined && /npm-cli\.c?js$/.test(file) && fs.existsSync(file));
  if (cli !== undefined) return { program: process.execPath, args: [cli, ...args] };
  return { program: 'npm', args };
}

/** @param {string} name @returns {string | undefined} the full path of a program on PATH */
export function findOnPath(name) {
  const suffixes = process.platform === 'win32' ? ['.exe', '.cmd', '.bat'] : [''];
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    for (const suffix of suffixes) {
      const file = path.join(folder, name + suffix);
      if (folder !== '' && fs.existsSync(file)) return file;
    }
  }
  return undefined;
}

/**
 * Ends a process started with `detached: true` together with everything it started.
 * @param {import('node:child_process').ChildProcess} child
 * @returns {Promise<void>} resolved when it is gone
 */
export async function stopGroup(child) {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('close', resolve));
  signalGroup(child.pid, 'SIGTERM');
  const force = setTimeout(() => signalGroup(/** @type {number} */ (child.pid), 'SIGKILL'), 5000);
  await gone;
  clearTimeout(force);
}

/** A failure with a sentence meant for the reader; shown without a stack trace. */
export class HarnessError extends Error {}

/**
 * Runs a script's main function: one sentence for a HarnessError, the stack for anything unexpected, exit code either way.
 * @param {() => Promise<number | void>} main
 */
export function runMain(main) {
  main().then(
    (code) => process.exit(code ?? 0),
    (error) => {
      console.error(error instanceof HarnessError ? error.message : error);
      process.exit(1);
    },
  );
}

/** @param {string} moduleUrl the module's import.meta.url @returns {boolean} whether Node was started with this module */
export function isMain(moduleUrl) {
  return process.argv[1] !== undefined && fs.realpathSync(process.argv[1]) === fileURLToPath(moduleUrl);
}

/** @param {string} message a line that says what is going on, with the seconds since the start */
export function progress(message) {
  console.log(`[${Math.round(performance.now() / 1000)} s] ${message}`);
}

/** @param {number} pid @param {NodeJS.Signals} signal */
function signalGroup(pid, signal) {
  try {
    if (process.platform === 'win32') spawnSync('taskkill', ['/pid', String(pid), '/t', '/f']);
    else process.kill(-pid, signal);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error;
  }
}
