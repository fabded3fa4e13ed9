import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { runConformance, type Row } from '../../conformance/conformance';
import { backendNodeFile } from '../support/backendNode';

const absent = !fs.existsSync(backendNodeFile);

/** Counts by operator, written by `npm run conformance -- --write`: what passes today must pass tomorrow. */
describe(`ONNX's own operator tests${absent ? ' (skipped: ../shared/models is not here)' : ''}`, () => {
  it('give the recorded counts for shapes, ONNX Runtime and TensorFlow.js, and none fails', async function () {
    if (absent) return this.skip();
    this.timeout(300_000);
    const expected = JSON.parse(fs.readFileSync(path.join(__dirname, '../../conformance/expected.json'), 'utf8')) as Record<string, Row>;
    const { cases, operators, failures } = await runConformance();
    assert.deepEqual(failures, []);
    assert.equal(cases, 1802);
    assert.deepEqual(operators, expected);
  });
});
