import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { unzipSync } from 'fflate';
import { loadParse } from '../../../src/compute/parsers';
import { addBehaviour } from '../../../src/core/behaviour/registry';
import { evaluate } from '../../../src/core/evaluate/evaluate';
import { findDefinitions } from '../../../src/core/source/findDefinitions';
import { linkDefinitions } from '../../../src/core/source/linkDefinitions';
import { suggest } from '../../../src/core/optimise/suggest';
import { readPayload } from '../../../webview/notebook/payload';
import { openSample, root } from '../support/openSample';

/** What a framework computed, written by the training scripts: see their `expected.json`. */
interface Expected {
  readonly test: Readonly<Record<string, number>>;
  readonly particles: Readonly<Record<string, number>>;
  readonly ranking?: Readonly<Record<string, number>>;
  /** Planted factors: which one of the model's it is. */
  readonly planted?: readonly { readonly factor: number }[];
}

const folder = path.join(root, 'media/samples');
const mime = 'application/vnd.particlize.v1+json';

interface Sample {
  /** The recipe of each model, and the definition that makes it. */
  readonly models: Readonly<Record<string, readonly [recipe: string, definition: string]>>;
  /** Largest drop that is accepted in suggestions. */
  readonly maxDrop: number;
  /** Many particles: the columns that are computed, where not the default ones. */
  readonly columns?: readonly string[];
  /** Why the behaviour is not run. */
  readonly unmeasured?: string;
}

const samples: Readonly<Record<string, Sample>> = {
  sigmoids: {
    models: { 'model.onnx': ['sigmoids', 'sigmoids_torch.py'], 'model.keras': ['sigmoids', 'sigmoids_keras.py'] }, maxDrop: 0.01,
  },
  vgg: { models: { 'model.onnx': ['vgg', 'vgg_torch.py'] }, maxDrop: 0.05, columns: ['activationMean', 'ablationLossChange'] },
  clips: {
    models: { 'model.onnx': ['clips', 'clips_torch.py'], 'model.keras': ['clips', 'clips_keras.py'] }, maxDrop: 0.05,
  },
  charRnn: {
    models: { 'lstm.onnx': ['charRnn', 'charLstm_torch.py'], 'gru.onnx': ['charRnn', 'charGru_torch.py'], 'lstm.keras': ['charRnn', 'charLstm_keras.py'] },
    maxDrop: 0.3,
  },
  recommender: {
    models: { 'factors.onnx': ['stars', 'recommender_torch.py'], 'neural.keras': ['stars', 'recommender_keras.py'] }, maxDrop: 0.05,
  },
  soraMini: {
    models: { 'model.onnx': ['soraMini', 'soraMini_torch.py'] }, maxDrop: 0.05, columns: ['activationMean', 'attentionEntropy'],
    unmeasured: 'its 1292 particles take minutes',
  },
};

describe('samples', function () {
  this.timeout(60_000);

  for (const [name, { models, maxDrop, columns, unmeasured }] of Object.entries(samples)) {
    const home = path.join(folder, name);
    const expected = JSON.parse(readFileSync(path.join(home, 'expected.json'), 'utf8')) as Record<string, Expected>;

    describe(name, () => {
      it('has expected numbers for each of its models and no other', () => {
        assert.deepEqual(Object.keys(expected).sort(), Object.keys(models).sort());
      });

      for (const [model, [recipe, definition]] of Object.entries(models)) {
        const open = (count?: number): ReturnType<typeof openSample> =>
          openSample(path.join(home, model), path.join(home, `${recipe}.particlize.json`), { samples: count });

        it(`${model} falls into its particles`, async () => {
          const { table } = await open(1);
          assert.deepEqual(sorted(table.groups.map(({ layer, count }) => [layer, count])), sorted(Object.entries(expected[model]!.particles)));
        });

        it(`${model} gives what its framework computed on the same data`, async () => {
          const { graph, engine, data, memoryBytes } = await open();
          const { loss, metrics } = await evaluate(graph, engine, data, { memoryBytes });
          const found: Readonly<Record<string, number>> = { loss, ...metrics };
          assertNear(found, expected[model]!.test);
        });

        if (expected[model]?.ranking) {
          it(`${model} ranks as its framework does, among the same items`, async () => {
            const { graph, engine, data, memoryBytes } = await openSample(path.join(home, model), path.join(home, 'ranking.particlize.json'));
            const { metrics } = await evaluate(graph, engine, data, { memoryBytes });
            assertNear(metrics, expected[model]!.ranking!);
          });
        }

        const what = `${columns ? columns.join(' and ') : 'the default columns'} have numbers`;
        it(`${model}: ${what}${unmeasured ? ` (no suggestions: ${unmeasured})` : ', and what may go is found or explained'}`, async () => {
          const context = await open(24);
          await addBehaviour(context, columns && new Set(columns));
          const { table } = context;
          for (const column of columns ?? ['activationMean', 'ablationLossChange']) {
            const values = table.column(column)?.values ?? [];
            assert.ok(values.some((value) => Number.isFinite(value) && value !== 0), `${column} has no number`);
          }
          if (unmeasured) return;
          const { suggestions, refusals } = await suggest(context, { maxDrop });
          for (const { reason } of refusals) assert.ok(reason.length > 10);
          assert.ok(suggestions.length + refusals.length > 0, 'neither a suggestion nor a reason');
        });

        it(`${definition} is linked to the layers of ${model}`, async () => {
          const { graph, table } = await open(1);
          const definitions = findDefinitions(readFileSync(path.join(home, definition), 'utf8'), 'python', await loadParse(['python']));
          const links = linkDefinitions(definitions, graph.layers.map(({ name: layer, type }) => ({ name: layer, type, width: table.group(layer)?.count })));
          // A block's class makes several layers, so that each is less sure.
          const sure = new Set(links.filter(({ confidence, layer }) => confidence > (layer.startsWith('blocks.') ? 0.3 : 0.7)).map(({ layer }) => layer));
          assert.deepEqual(table.groups.map(({ layer }) => layer).filter((layer) => !sure.has(layer)), [], 'layers without a definition');
        });
      }

      it('has a notebook whose particle charts can be drawn', () => {
        const { cells } = JSON.parse(readFileSync(path.join(home, `${name}.ipynb`), 'utf8')) as Notebook;
        const outputs = cells.flatMap((cell) => (cell.outputs ?? []).flatMap(({ data }) => (data?.[mime] ? [data] : [])));
        assert.ok(outputs.length > 0);
        for (const data of outputs) {
          readPayload(data[mime]);
          assert.ok('application/vnd.vegalite.v5+json' in data && 'text/plain' in data, 'fallbacks');
        }
        assert.ok(cells.every(({ outputs: all }) => (all ?? []).every(({ output_type: type }) => type !== 'error')));
      });

      it('is small, and says nothing of the machine that made it', () => {
        const files = readdirSync(home, { recursive: true, encoding: 'utf8' })
          .map((file) => path.join(home, file)).filter((file) => !file.includes('__pycache__') && statSync(file).isFile());
        const sizeBytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
        assert.ok(sizeBytes < 1e6, `${sizeBytes} bytes`);
        for (const file of files) {
          const bytes = readFileSync(file);
          const parts = bytes[0] === 0x50 && bytes[1] === 0x4b ? Object.values(unzipSync(bytes)).map((part) => Buffer.from(part)) : [];
          for (const part of [bytes, ...parts]) assert.doesNotMatch(part.toString('latin1'), /\/(work|home|root|tmp|opt|usr)\/[a-z]/, file);
        }
        for (const needed of ['README.md', 'makeData.py', 'train.py', 'makeNotebook.py']) {
          assert.ok(existsSync(path.join(home, needed)) || (name === 'soraMini' && needed === 'makeData.py'), needed);
        }
      });
    });
  }

  it('sigmoids: the particle too many is the one that is proposed', async () => {
    const context = await openSample(path.join(folder, 'sigmoids/model.onnx'), path.join(folder, 'sigmoids/sigmoids.particlize.json'));
    await addBehaviour(context, new Set(['ablationLossChange']));
    const { suggestions } = await suggest(context, { maxDrop: 0.001 });
    const found = suggestions.find(({ particles }) => particles.length === 1);
    assert.deepEqual(found?.particles, ['particles/neuron:0']);
    const changes = [...context.table.column('ablationLossChange')!.values.subarray(0, 4)];
    assert.equal(changes.indexOf(Math.min(...changes)), 0);
  });

  it('recommender: the planted factors are those that matter', async () => {
    const context = await openSample(path.join(folder, 'recommender/factors.onnx'), path.join(folder, 'recommender/stars.particlize.json'));
    await addBehaviour(context, new Set(['ablationLossChange']));
    const { planted } = (JSON.parse(readFileSync(path.join(folder, 'recommender/expected.json'), 'utf8')) as Record<string, Expected>)['factors.onnx']!;
    for (const layer of ['user_factors', 'item_factors']) {
      const { firstRow, count } = context.table.group(layer)!;
      const changes = [...context.table.column('ablationLossChange')!.values.subarray(firstRow, firstRow + count)];
      const strongest = changes.map((_, factor) => factor).sort((one, two) => changes[two]! - changes[one]!).slice(0, 3);
      assert.deepEqual(strongest.sort(), planted!.map(({ factor }) => factor).sort());
    }
  });
});

function assertNear(found: Readonly<Record<string, number>>, wanted: Readonly<Record<string, number>>): void {
  for (const [measure, value] of Object.entries(wanted)) {
    assert.ok(Math.abs(found[measure]! - value) <= 1e-4, `${measure}: ${found[measure]}, the framework's is ${value}`);
  }
}

interface Notebook {
  readonly cells: readonly { readonly outputs?: readonly { readonly output_type: string; readonly data?: Readonly<Record<string, unknown>> }[] }[];
}

function sorted(entries: readonly (readonly (string | number)[])[]): string[] {
  return entries.map(([layer, count]) => `${layer}: ${count}`).sort();
}
