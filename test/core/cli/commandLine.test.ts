import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runCommandLine } from '../../../src/cli/commandLine';
import { stages } from '../../../src/cli/registry';
import { digits, root } from '../support/openSample';

const model = path.join(digits, 'model.onnx');
const shared = path.join(root, '../shared/models');
const recipe = path.join(digits, 'digits.particlize.json');

describe('command line', function () {
  this.timeout(60_000);
  let folder: string;
  beforeEach(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-cli-'))));
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

  it('read, particles and attributes print what the contract says', async () => {
    const read = await json('read', model);
    assert.deepEqual(Object.keys(read), ['format', 'producer', 'inputs', 'outputs', 'layers', 'parameters', 'macs', 'findings']);
    assert.deepEqual([read['format'], read['parameters'], read['macs']], ['onnx', 38282, 337536]);
    const particles = await json('particles', model);
    assert.deepEqual(particles['layers'], [['conv1', 'kernel', 16], ['conv2', 'kernel', 32], ['dense1', 'neuron', 64], ['dense2', 'neuron', 10]]
      .map(([name, kind, count]) => (name === 'dense2' ? { name, kind, count, note: "it is the model's output logits" } : { name, kind, count })));
    assert.equal(particles['total'], 122);
    const known = JSON.parse(fs.readFileSync(path.join(digits, 'expected.json'), 'utf8')) as { particles: Record<string, { l2: number[] }> };
    const attributes = await json('attributes', model) as unknown as { columns: { name: string }[]; rows: Record<string, number | string>[] };
    assert.equal(attributes.rows.length, 122);
    assert.equal(attributes.rows[17]!['id'], 'conv2/kernel:1');
    const norm = attributes.columns.find(({ name }) => /^l2/i.test(name))!.name;
    assert.ok(Math.abs(Number(attributes.rows[17]![norm]) - known.particles['conv2']!.l2[1]!) < 1e-5);
    const csv = (await ok('attributes', model, '--csv', '--layers', 'conv1')).split('\r\n');
    assert.equal(csv.length, 18);
    assert.match(csv[1]!, /^conv1\/kernel:0,/);
  });

  it('particles counts every kernel and neuron of Tiny VGG', async function () {
    const file = path.join(shared, 'tfjs-layers/cnn-explainer-tinyvgg/model.json');
    if (!fs.existsSync(file)) {
      console.log('      skipped: ../shared/models is not here');
      return this.skip();
    }
    const { layers, total } = await json('particles', file) as unknown as { layers: { kind: string; count: number }[]; total: number };
    assert.deepEqual(layers.map(({ kind, count }) => [kind, count]), [['kernel', 10], ['kernel', 10], ['kernel', 10], ['kernel', 10], ['neuron', 10]]);
    assert.equal(total, 50);
  });

  for (const [file, accuracy] of [['onnx/ort-mnist/mnist.onnx', 0.986], ['tfjs-layers/tensorspace-lenet-from-keras/model.json', 0.986], ['tfjs-layers/tensorspace-lenet-from-tfkeras/model.json', 0.982]] as const) {
    it(`evaluate gives ${accuracy} on the first 500 MNIST test images for ${file}`, async function () {
      if (!fs.existsSync(path.join(shared, file))) {
        console.log('      skipped: ../shared/models is not here');
        return this.skip();
      }
      const { metrics, samples } = await json('evaluate', path.join(shared, file), '--data', path.join(root, 'test/fixtures/recipes/mnist.particlize.json')) as unknown as
        { metrics: { accuracy: number }; samples: number };
      assert.deepEqual([samples, Number(metrics.accuracy.toFixed(6))], [500, accuracy]);
    });
  }

  it('data, behaviour and evaluate', async () => {
    assert.equal((await json('data', recipe))['rows'], 1797);
    const behaviour = await json('behaviour', model, '--data', recipe, '--columns', 'activationMean', '--samples', '50', '--layers', 'conv1,dense1') as unknown as {
      columns: { name: string; provenance: { samples: number } }[]; rows: Record<string, unknown>[];
    };
    assert.deepEqual([behaviour.columns.length, behaviour.columns[0]!.provenance.samples, behaviour.rows.length], [1, 50, 80]);
    const evaluation = await json('evaluate', model, '--data', recipe) as unknown as { metrics: { accuracy: number } };
    assert.ok(Math.abs(evaluation.metrics.accuracy - 0.98611) < 1e-5);
  });

  it('suggest, apply with source, evaluate again: the prediction holds and nothing is written over', async () => {
    const suggested = path.join(folder, 'suggested.json');
    fs.writeFileSync(suggested, await ok('suggest', model, '--data', recipe, '--json'));
    const plan = (JSON.parse(fs.readFileSync(suggested, 'utf8')) as { suggestions: { predicted: { parameters: number; samples: number; metric: { change: number }; chosenOn: { samples: number; metric: number } } }[] }).suggestions[0]!;
    const out = path.join(folder, 'out');
    const source = path.join(digits, 'digits_torch.py');
    const applied = await json('apply', model, '--plan', suggested, '--source', source, '--out', out) as unknown as { files: string[]; source: { file: string }; after: { parameters: number } };
    assert.equal(applied.after.parameters, plan.predicted.parameters);
    assert.notEqual(fs.readFileSync(applied.source.file, 'utf8'), fs.readFileSync(source, 'utf8'));
    const evaluation = await json('evaluate', applied.files[0]!, '--data', recipe) as unknown as { parameters: number; metrics: { accuracy: number } };
    assert.equal(evaluation.parameters, plan.predicted.parameters);
    const { samples, metric, chosenOn } = plan.predicted;
    // Predicted on one half, chosen on the other: together they are all samples.
    const change = (samples * metric.change + chosenOn.samples * chosenOn.metric) / (samples + chosenOn.samples);
    assert.ok(Math.abs(evaluation.metrics.accuracy - 0.986111 - change) < 1e-5);
    const before = fs.readdirSync(out).sort();
    const again = await run('apply', model, '--plan', suggested, '--name', path.basename(applied.files[0]!), '--out', out);
    assert.deepEqual([again.code, fs.readdirSync(out).sort()], [1, before]);
    assert.match(again.error, /a file of this name is already there/);
  });

  it('a plan for another model is refused before anything is written', async () => {
    const plan = path.join(folder, 'plan.json');
    fs.writeFileSync(plan, JSON.stringify({ version: 1, model: { file: 'x.onnx', sha256: '00' }, steps: [] }));
    const { code, error } = await run('apply', model, '--plan', plan, '--out', path.join(folder, 'out'));
    assert.deepEqual([code, fs.existsSync(path.join(folder, 'out'))], [1, false]);
    assert.match(error, /the plan was made for another version of x\.onnx/);
  });

  it('report: one page without scripts or network, and a notebook', async () => {
    const page = path.join(folder, 'report.html');
    await ok('report', model, '--data', recipe, '--samples', '60', '--out', page);
    const html = fs.readFileSync(page, 'utf8');
    assert.ok(!/<script|https?:/.test(html));
    assert.ok((html.match(/<rect /g) ?? []).length >= 122);
    const notebook = path.join(folder, 'report.ipynb');
    await ok('report', model, '--data', recipe, '--samples', '60', '--out', notebook);
    const { cells, nbformat } = JSON.parse(fs.readFileSync(notebook, 'utf8')) as { cells: { outputs?: { data: Record<string, { values: number[] }> }[] }[]; nbformat: number };
    const heatmap = cells.find(({ outputs }) => outputs)!.outputs![0]!.data['application/vnd.particlize.v1+json']!;
    assert.deepEqual([nbformat, heatmap.values.length], [4, 122]);
  });

  describe('wrong usage ends with 2, failure with 1, always in one line', () => {
    const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
      [['read'], 2, /^particlize read: FILE is missing\. See particlize read --help\.\n$/],
      [['red', 'x'], 2, /there is no stage 'red'\. Stages are read, particles/],
      [['evaluate', model], 2, /--data RECIPE is missing/],
      [['read', model, '--fast'], 2, /Unknown option '--fast'/],
      [['evaluate', model, '--data', recipe, '--samples', 'many'], 2, /--samples is a number, not 'many'/],
      [['suggest', model, '--data', recipe, '--target', 'size=1'], 2, /--target is macs=0\.5/],
      [['attributes', model, '--arrow'], 2, /Arrow files cannot be written yet/],
      [['read', path.join(digits, 'none.onnx')], 1, /^particlize read: none\.onnx: the file does not exist\.\n$/],
      [['read', path.join(digits, 'train.py')], 1, /^particlize read: train\.py: this is not a model file/],
      [['evaluate', model, '--data', model], 1, /^particlize evaluate: model\.onnx: .*this is not valid JSON/],
      [['behaviour', model, '--data', recipe, '--columns', 'x'], 1, /there is no column 'x'/],
      [['behaviour', model, '--data', recipe, '--layers', 'x'], 1, /it has no layer 'x' with particles\. Its layers are conv1/],
      [['train', model, '--data', recipe, '--epochs', '0', '--out', 'x'], 2, /--epochs is a whole number from 1 up, not '0'/],
      [['loop', model, '--data', recipe, '--out', 'x'], 2, /--target macs=0\.5 is missing/],
    ];
    for (const [args, code, message] of cases) {
      it([...args.map((arg) => path.basename(arg)), '->', code].join(' '), async () => {
        const result = await run(...args);
        assert.equal(result.code, code);
        assert.match(result.error, message);
        assert.equal(result.error.trim().split('\n').length, 1);
        assert.equal(result.out, '');
      });
    }
  });

  it('a broken file of an archive of data, a missing data file', async () => {
    const broken = path.join(folder, 'r.particlize.json');
    const text = fs.readFileSync(recipe, 'utf8');
    fs.writeFileSync(broken, text);
    assert.match((await run('evaluate', model, '--data', broken)).error, /r\.particlize\.json: data: the data file digits\.npz does not exist/);
    fs.writeFileSync(path.join(folder, 'digits.npz'), fs.readFileSync(path.join(digits, 'digits.npz')).subarray(0, 20_000));
    assert.match((await run('evaluate', model, '--data', broken)).error, /digits\.npz: the archive is damaged or cut off/);
  });

  it('cancelling ends with 130', async () => {
    const controller = new AbortController();
    const text: string[] = [];
    const code = runCommandLine(['behaviour', model, '--data', recipe], {
      out: () => assert.fail('there is no result'), error: (line) => {
        text.push(line);
        controller.abort();
      }, isTerminal: false, showProgress: true, signal: controller.signal,
    });
    assert.equal(await code, 130);
    assert.match(text.join(''), /particlize: cancelled\.\n$/);
  });

  it('every stage explains itself', async () => {
    const all = await ok('--help');
    for (const { name, options } of stages) {
      assert.ok(all.includes(`  ${name} `), name);
      const help = await ok(name, '--help');
      for (const option of [...Object.keys(options), 'json']) assert.ok(help.includes(`--${option}`), `${name} --${option}`);
    }
    assert.equal((await run()).code, 2);
  });
});

async function run(...args: readonly string[]): Promise<{ code: number; out: string; error: string }> {
  let [out, error] = ['', ''];
  const code = await runCommandLine(args, {
    out: (text) => void (out += text), error: (text) => void (error += text), isTerminal: false, showProgress: false, signal: new AbortController().signal,
  });
  return { code, out, error };
}

async function ok(...args: readonly string[]): Promise<string> {
  const { code, out, error } = await run(...args);
  assert.equal(code, 0, error);
  return out;
}

async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await ok(...args, '--json')) as Record<string, unknown>;
}
