import { parseArgs } from 'node:util';
import { createSessions } from '../compute/session';
import type { ComputeOptions, ComputeTask } from '../compute/protocol';
import { CancelledError, ParticlizeError } from '../core/graph/errors';
import { stages } from './registry';
import { UsageError, type Arguments, type OptionKinds, type Stage } from './stage';

export interface Terminal {
  out(text: string): void;
  error(text: string): void;
  readonly isTerminal: boolean;
  readonly showProgress: boolean;
  readonly signal: AbortSignal;
}

/** Runs one command and returns its exit code; never throws. */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    (name === undefined ? terminal.error : terminal.out)(overview());
    return name === undefined ? 2 : 0;
  }
  if (name === '--version') {
    terminal.out('particlize 0.1.0\n');
    return 0;
  }
  const stage = stages.find((candidate) => candidate.name === name);
  if (!stage) {
    terminal.error(`particlize: there is no stage '${name}'. Stages are ${stages.map((known) => known.name).join(', ')}.\n`);
    return 2;
  }
  const line = progressLine(terminal);
  try {
    const parsed = parse(stage, rest);
    if (parsed === 'help') {
      terminal.out(help(stage));
      return 0;
    }
    const task: ComputeTask = { signal: terminal.signal, progress: line.show };
    const result = await stage.run(parsed, {
      sessions: createSessions(computeOptions(parsed)), task,
      line: (text) => {
        line.clear();
        terminal.out(`${text}\n`);
      },
      note: (text) => {
        line.clear();
        terminal.error(`${text}\n`);
      },
    });
    line.clear();
    const text = parsed.flags.has('json') ? `${JSON.stringify(result.json, null, terminal.isTerminal ? 2 : undefined)}\n` : result.text();
    terminal.out(text.endsWith('\n') ? text : `${text}\n`);
    return 0;
  } catch (error) {
    line.clear();
    return report(error, stage, terminal);
  }
}

const commonOptions: OptionKinds = {
  json: { type: 'boolean', text: 'Print JSON instead of tables' },
  help: { type: 'boolean', text: 'Print this' },
  engine: { type: 'string', value: 'ID', text: 'auto (default), ort-native, ort-web, tfjs-wasm or tfjs-node' },
  threads: { type: 'string', value: 'N', text: 'Threads of the engine; as many as there are cores by default' },
  memory: { type: 'string', value: 'MB', text: 'Memory that activations and batches may take; 1024 by default' },
  cache: { type: 'string', value: 'FOLDER', text: 'Where exact ablation keeps what it has found, to go on after Ctrl-C' },
};

function parse(stage: Stage, args: readonly string[]): Arguments | 'help' {
  const kinds: OptionKinds = { ...stage.options, ...commonOptions };
  const config = Object.fromEntries(Object.entries(kinds).map(([name, { type, multiple }]) => [name, { type, multiple: multiple ?? false }]));
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...args], options: config, allowPositionals: true, strict: true });
  } catch (error) {
    // parseArgs explains at length how to pass odd values; the first sentence says what is wrong.
    const message = error instanceof Error ? error.message.split('. ')[0]!.split('\n')[0]! : String(error);
    throw new UsageError(message.replace(/\.$/, ''));
  }
  if (parsed.values.help) return 'help';
  const flags = new Set<string>();
  const values = new Map<string, readonly string[]>();
  for (const [name, value] of Object.entries(parsed.values)) {
    if (value === true) flags.add(name);
    else if (value !== undefined && value !== false) values.set(name, [value].flat() as string[]);
  }
  const { positionals } = parsed;
  if (positionals.length < stage.positionals.length) throw new UsageError(`${stage.positionals[positionals.length]} is missing`);
  if (positionals.length > stage.positionals.length && !stage.more) throw new UsageError(`'${positionals[stage.positionals.length]}' is one argument too many`);
  for (const name of stage.required ?? []) {
    if (!values.has(name)) throw new UsageError(`--${name} ${kinds[name]!.value ?? ''}`.trim() + ' is missing');
  }
  return { positionals, flags, values };
}

function computeOptions({ values }: Arguments): ComputeOptions {
  const engine = values.get('engine')?.[0] ?? 'auto';
  const engines = ['auto', 'ort-native', 'ort-web', 'tfjs-wasm', 'tfjs-node'] as const;
  const known = engines.find((id) => id === engine);
  if (!known) throw new UsageError(`--engine is one of ${engines.join(', ')}, not '${engine}'`);
  const whole = (name: string, otherwise: number): number => {
    const text = values.get(name)?.[0];
    if (text === undefined) return otherwise;
    if (!/^\d{1,9}$/.test(text)) throw new UsageError(`--${name} is a whole number, not '${text}'`);
    return Number(text);
  };
  return { engine: known, threads: whole('threads', 0), memoryMegabytes: Math.max(1, whole('memory', 1024)), cacheFolder: values.get('cache')?.[0] };
}

function report(error: unknown, stage: Stage, terminal: Terminal): number {
  if (error instanceof CancelledError || terminal.signal.aborted) {
    terminal.error('particlize: cancelled.\n');
    return 130;
  }
  if (error instanceof UsageError) {
    terminal.error(`particlize ${stage.name}: ${error.message}. See particlize ${stage.name} --help.\n`);
    return 2;
  }
  const message = error instanceof ParticlizeError
    ? error.message
    : `something unforeseen went wrong: ${error instanceof Error ? error.message : String(error)}`;
  terminal.error(`particlize ${stage.name}: ${message.replace(/\s*\n\s*/g, ' ')}\n`);
  return 1;
}

function overview(): string {
  const width = Math.max(...stages.map(({ name }) => name.length));
  return ['particlize STAGE FILE [options]', '', 'Stages:', ...stages.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '', 'particlize STAGE --help tells the options of a stage.', ''].join('\n');
}

function help(stage: Stage): string {
  const lines = (kinds: OptionKinds): string[] => {
    const heads = Object.entries(kinds).map(([name, { value }]) => `--${name}${value ? ` ${value}` : ''}`);
    const width = Math.max(...heads.map((head) => head.length), 16);
    return Object.values(kinds).map(({ text }, index) => `  ${heads[index]!.padEnd(width)}  ${text}`);
  };
  const required = (stage.required ?? []).map((name) => ` --${name} ${stage.options[name]!.value}`).join('');
  return [`particlize ${stage.name} ${stage.positionals.join(' ')}${stage.more ? '...' : ''}${required} [options]`, '', stage.summary, '', 'Options:',
    ...lines(stage.options), ...lines(commonOptions), ''].join('\n');
}

/** One line on standard error that says how far it is; only on a terminal. */
function progressLine(terminal: Terminal): { show(done: number, total: number, message?: string): void; clear(): void } {
  let shown = false;
  let last = 0;
  return {
    show(done, total, message = '') {
      const now = Date.now();
      if (!terminal.showProgress || now - last < 100) return;
      last = now;
      shown = true;
      const percent = total > 0 ? `${Math.floor((100 * done) / total)} %` : '';
      terminal.error(`\r\u001b[K${message.slice(0, 60)} ${percent}`);
    },
    clear() {
      if (shown) terminal.error('\r\u001b[K');
      shown = false;
    },
  };
}
