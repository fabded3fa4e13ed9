// @ts-check
import fs from 'node:fs';
import path from 'node:path';
import { repoRoot } from './paths.mjs';

/** What a runner counted. @typedef {{ passed: number, failed: number, skipped: number }} Totals */

/** @param {string} name of a runner @returns {string} the file that its reporter writes the totals to */
export function totalsFile(name) {
  return path.join(repoRoot, 'test-results', `${name.replaceAll(/[^\w.]+/g, '-')}.json`);
}

/**
 * A runner's totals. One that ended badly without counting a failure (it crashed, or found no test) counts as failed,
 * and a stale file never stands in for it: call `fs.rmSync(file)` before the run.
 * @param {string} name @param {string} file @param {number} exitCode
 * @returns {Totals}
 */
export function readTotals(name, file, exitCode) {
  /** @type {Totals} */
  const totals = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : { passed: 0, failed: 0, skipped: 0 };
  if (totals.failed > 0) return totals;
  if (exitCode !== 0) {
    console.error(`${name}: the runner ended with exit code ${exitCode} without a failed test; counted as one failure.`);
    return { ...totals, failed: 1 };
  }
  if (totals.passed + totals.skipped === 0) {
    console.error(`${name}: no test ran; counted as one failure.`);
    return { ...totals, failed: 1 };
  }
  return totals;
}

/** @param {Totals[]} all @returns {Totals} */
export function sumTotals(all) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const { passed, failed, skipped } of all) {
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped += skipped;
  }
  return sum;
}

/** @param {Totals} totals @returns {string} the closing line */
export function closingLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/** @param {Totals} totals @returns {number} the exit code that says the same */
export function exitCodeOf({ passed, failed }) {
  return failed > 0 || passed === 0 ? 1 : 0;
}
