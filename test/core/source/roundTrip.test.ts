import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type * as tensorflow from '@tensorflow/tfjs';
import { transformSync } from 'esbuild';
import { loadParse } from '../../../src/compute/parsers';
import { applyEdits } from '../../../src/core/source/editSource';
import { languageOfFile, type Parse } from '../../../src/core/source/syntaxTree';
import { editStyle } from './styles/editStyle';
import { kerasStyles } from './styles/kerasStyles';
import { pytorchStyles } from './styles/pytorchStyles';
import { layoutOf, prunedShapes, type Style } from './styles/style';
import { tfjsStyles } from './styles/tfjsStyles';

interface RealModel {
  readonly name: string;
  readonly code: string;
  readonly error?: string;
  readonly layers: readonly { readonly name: string; readonly shapes: readonly (readonly number[])[] }[];
  readonly output: readonly number[];
}

const fixtures = path.resolve('test', 'fixtures');
const recording = path.join(fixtures, 'source', 'roundTrip.json');
const python = process.env['PARTICLIZE_PYTHON'];

describe('source: edited definitions in the real frameworks', () => {
  let parse: Parse;
  before(async () => {
    parse = await loadParse(['python', 'javascript', 'typescript']);
  });

  const pythonStyles = [...kerasStyles, ...pytorchStyles, ...samples('digits_keras.py', 'digits_torch.py')].filter((style) => style.runs !== false);

  for (const style of pythonStyles) {
    it(`${style.name}, as recorded`, () => {
      assert.ok(existsSync(recording), 'recorded by test/fixtures/make/sourceRoundTrip.py');
      const recorded = (JSON.parse(readFileSync(recording, 'utf8')) as RealModel[]).find((one) => one.name === style.name);
      assert.ok(recorded, 'this style is recorded');
      assert.equal(edited(style, parse), recorded.code, 'the framework ran this very text');
      check(style, recorded);
    });
  }

  it('Keras and PyTorch, live (with PARTICLIZE_PYTHON, the path of a Python that has both)', function () {
    if (!python) this.skip();
    this.timeout(300_000);
    const cases = pythonStyles.map((style) => ({ name: style.name, code: edited(style, parse), build: style.build, input: style.input }));
    const answer = execFileSync(python, [path.join(fixtures, 'make', 'sourceRoundTrip.py')], {
      input: JSON.stringify(cases), encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'], maxBuffer: 1 << 26,
    });
    const models = JSON.parse(answer) as RealModel[];
    pythonStyles.forEach((style, index) => check(style, models[index]!));
    if (process.env['PARTICLIZE_RECORD']) writeFileSync(recording, answer);
  });

  for (const style of [...tfjsStyles, ...samples('digitsTfjs.ts')].filter((one) => one.runs !== false)) {
    it(`${style.name}, live`, async function () {
      this.timeout(60_000);
      const tf = await import('@tensorflow/tfjs');
      const { code } = transformSync(edited(style, parse), { loader: 'ts', format: 'cjs' });
      const module: { exports: Record<string, (() => tensorflow.LayersModel) | undefined> } = { exports: {} };
      new Function('require', 'module', 'exports', code)(() => tf, module, module.exports);
      const model = module.exports[style.build.replace('()', '')]!();
      const output = model.predict(tf.zeros([2, ...style.input])) as tensorflow.Tensor;
      check(style, {
        name: style.name, code, output: output.shape,
        layers: model.layers.filter((layer) => layer.weights.length > 0)
          .map((layer) => ({ name: layer.name, shapes: layer.weights.map((weight) => weight.shape as number[]) })),
      });
      model.dispose();
      output.dispose();
    });
  }
});

/** The sample's definitions as styles of their own. */
function samples(...files: string[]): Style[] {
  const builds: Readonly<Record<string, string>> = { 'digits_keras.py': 'build_model()', 'digits_torch.py': 'DigitsNet()', 'digitsTfjs.ts': 'buildModel()' };
  return files.map((file) => ({
    name: `the sample ${file}`,
    language: languageOfFile(file)!,
    code: readFileSync(path.resolve('media', 'samples', 'digits', file), 'utf8'),
    build: builds[file]!,
    input: file.includes('torch') ? [1, 8, 8] : [8, 8, 1],
    model: 'conv1:conv:1>16 conv2:conv:16>32 dense1:dense:512>64 dense2:dense:64>10',
    prune: { conv1: 13, conv2: 27, dense1: 40 },
    definitions: [],
    edits: [],
  }));
}

function edited(style: Style, parse: Parse): string {
  return applyEdits(style.code, editStyle(style, parse).edits);
}

/** The framework's layers have the shapes that the pruned weights have, and the model runs. */
function check(style: Style, model: RealModel): void {
  assert.equal(model.error, undefined, `${style.name}: ${model.error}`);
  const layout = layoutOf(style.code);
  const wanted = prunedShapes(style.model, style.prune, layout);
  const names = style.model.split(' ').map((word) => word.split(':')[0]);
  // A state dict is loaded by its names; Keras and TensorFlow.js make names up for layers that were given none.
  const line = (name: string | undefined, shapes: unknown) => `${layout === 'first' ? name : ''} ${JSON.stringify(shapes)}`;
  assert.deepEqual(
    model.layers.map((layer) => line(layer.name, layer.shapes)).sort(),
    wanted.map((shapes, index) => line(names[index], shapes)).sort(),
    style.name,
  );
  assert.deepEqual(model.output, [2, 10]);
}
