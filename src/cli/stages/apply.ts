import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { reverseModel } from '../../compute/reverseFile';
import { formatBytes } from '../../core/charts/numberFormat';
import { ParticlizeError } from '../../core/graph/errors';
import { checkedPlan } from '../../core/optimise/checkPlan';
import { planOf, type Plan, type Suggestion } from '../../core/optimise/plan';
import { editedSource, writeSource } from '../sourceEdits';
import { openModel, text, UsageError, type Arguments, type Stage, type StageResult, type StageServices } from '../stage';
import { textFacts, textTable } from '../textTable';
import { changeText, chosen, options } from './suggest';

export const apply: Stage = {
  name: 'apply',
  summary: 'Carries out a plan: a smaller model, and its definition in code edited to match; or gives the original back',
  positionals: ['FILE'],
  options: {
    plan: { type: 'string', value: 'PLAN', text: 'A plan, or what suggest --json printed; needed unless --reverse' },
    choose: { type: 'string', value: 'ID', text: 'Which suggestion, when PLAN holds suggestions; the first by default' },
    source: { type: 'string', value: 'CODE', text: 'The file that defines the model; an edited copy is written' },
    out: { type: 'string', value: 'DIR', text: 'Folder for what is written; nothing in it is written over; with --reverse the folder of FILE by default' },
    reverse: { type: 'boolean', text: 'FILE was made by apply: give back the model that it was made from, byte for byte' },
    name: { type: 'string', value: 'NAME', text: 'Name of the new model file' },
  },
  async run(args, services) {
    const { sessions, task } = services;
    if (args.flags.has('reverse')) return giveBack(args, services);
    for (const name of ['plan', 'out']) if (text(args, name) === undefined) throw new UsageError(`--${name} ${apply.options[name]!.value} is missing`);
    const plan = await readPlan(text(args, 'plan')!, text(args, 'choose'));
    const summary = await openModel(args, services);
    const folder = path.resolve(text(args, 'out')!);
    const source = text(args, 'source');
    // Everything that can be refused comes before anything is written.
    const preview = await sessions.preview({ model: summary.model, plan }, task);
    const edited = source === undefined ? undefined : await editedSource(source, summary.layers, preview.changes);
    await makeFolder(folder);
    const result = await sessions.apply({ model: summary.model, plan, folder, name: text(args, 'name') }, task);
    const sourceFile = edited && await writeSource(edited, folder, { before: summary.path, after: result.files[0]! });
    for (const { layer, reason } of result.refusals) services.note(`${layer} stays as it is: ${reason}.`);
    const { kind, bytes, originalBytes } = result.reverse;
    if (kind === 'reference') services.note(`The original is large (${formatBytes(originalBytes)}): ${path.basename(result.reverse.file)} only says where it lies, so keep it there.`);
    else if (bytes > originalBytes * 0.9) services.note(`${path.basename(result.reverse.file)} is about as large as the original: ${formatBytes(bytes)} of ${formatBytes(originalBytes)}.`);
    for (const { line, reason } of edited?.manual ?? []) services.note(`${source}, line ${line}: to be changed by hand: ${reason}.`);
    return {
      json: { ...result, source: sourceFile && { file: sourceFile, edits: edited!.edits.map(({ label }) => label), manual: edited!.manual } },
      text: () => [
        textFacts([
          ['parameters', changeText(result.before.parameters, result.after.parameters)],
          ['multiply-accumulates', changeText(result.before.macs, result.after.macs)],
          ['bytes of weights', changeText(result.before.bytes, result.after.bytes)],
        ]),
        textTable(['layer', 'width', 'input'], result.changes.map(({ layer, width, inputWidth }) => [layer, pair(width), pair(inputWidth)])),
        (edited?.edits ?? []).map(({ label }) => `${label}\n`).join(''),
        [...result.files, ...(sourceFile ? [sourceFile] : [])].map((file) => `Wrote ${path.relative(process.cwd(), file) || file}\n`).join(''),
      ].filter(Boolean).join('\n'),
    };
  },
};

async function giveBack(args: Arguments, { task }: StageServices): Promise<StageResult> {
  const wrong = ['plan', 'choose', 'source', 'name'].find((name) => text(args, name) !== undefined);
  if (wrong !== undefined) throw new UsageError(`--${wrong} does not go with --reverse`);
  const result = await reverseModel(args.positionals[0]!, text(args, 'out'), task);
  const shown = result.files.map((file) => path.relative(process.cwd(), file) || file);
  return {
    json: result,
    text: () => shown.map((file) => (result.alreadyThere ? `${file} is there already, and is the original\n` : `Wrote ${file}\n`)).join(''),
  };
}

function pair(change: { readonly before: number; readonly after: number } | undefined): string {
  if (!change) return '';
  return change.before === change.after ? String(change.before) : `${change.before} → ${change.after}`;
}

/** Reads a plan, or picks a suggestion from suggest's output. */
async function readPlan(file: string, id: string | undefined): Promise<Plan> {
  const name = path.basename(file);
  const content = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new ParticlizeError({ file: name, cause: error.code === 'ENOENT' ? 'the file does not exist' : `the file cannot be read (${error.code})` });
  });
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw new ParticlizeError({ file: name, cause: 'this is not valid JSON' }, { cause: error });
  }
  const object = (value ?? {}) as Partial<Plan> & { suggestions?: readonly Suggestion[]; front?: readonly Suggestion[] };
  const model = object.model ?? { file: '', sha256: '' };
  if (Array.isArray(object.suggestions)) {
    return checkedPlan(planOf(model, [chosen(options({ suggestions: object.suggestions, front: object.front ?? [] }), id, name)]), name);
  }
  return checkedPlan(object, name);
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw new ParticlizeError({ file: folder, cause: `the folder cannot be made (${(error as NodeJS.ErrnoException).code})` }, { cause: error });
  }
}
