import { fork, type ChildProcess } from 'node:child_process';
import { CancelledError, ParticlizeError } from '../core/graph/errors';
import type {
  ColumnData, ComputeOptions, Method, ModelId, ModelSummary, Params, Request, Response, Result, RoundSummary, TrainingUpdate,
} from './protocol';
import { activity } from './rpc';

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly progress?: (done: number, total: number, message?: string) => void;
  readonly columns?: (columns: readonly ColumnData[]) => void;
  readonly training?: (update: TrainingUpdate) => void;
  readonly round?: (round: RoundSummary) => void;
}

export interface ClientSettings {
  /** The bundle of main.ts. */
  readonly script: string;
  /** Read at every start of the process. */
  readonly options: () => ComputeOptions;
  readonly log: (level: 'info' | 'warn' | 'error', text: string) => void;
  /** One sentence for the user, when the process ended by itself. */
  readonly crashed: (sentence: string) => void;
  /** A model was opened again in a new process; it may have changed on disk meanwhile. */
  readonly reopened?: (model: ModelId, summary: ModelSummary) => void;
  /** A cancelled call rejects at the latest after this time, even when the process is busy. */
  readonly answerMs?: number;
  /** A process that does not answer a cancel for this long is killed. */
  readonly killMs?: number;
  /** The process ends when nothing was asked of it for this long. */
  readonly idleMs?: number;
  /** Arguments for Node itself; tests load TypeScript with it. */
  readonly execArgv?: readonly string[];
}

interface Pending {
  readonly method: Method;
  readonly options: CallOptions;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** A model as the host knows it: its id stays while processes come and go. */
interface OpenModel {
  readonly path: string;
  process: Connection;
  remote: ModelId;
}

/**
 * Calls into the compute process. It starts on the first call, ends after a while of rest, and is started again after a
 * crash: models that were open are opened again when something next asks for them, under the ids the host has.
 */
export class ComputeClient {
  private connection: Connection | undefined;
  private readonly models = new Map<ModelId, OpenModel>();
  private idle: NodeJS.Timeout | undefined;
  private active = 0;
  private disposed = false;

  constructor(private readonly settings: ClientSettings) {}

  /** Process id while one runs; for the log and for tests. */
  get pid(): number | undefined {
    return this.connection?.child.pid;
  }

  /** Rejects with a ParticlizeError (show its message) or a CancelledError (show nothing). */
  async call<M extends Method>(method: M, params: Params<M>, options: CallOptions = {}): Promise<Result<M>> {
    if (this.disposed) throw new CancelledError();
    if (options.signal?.aborted) throw new CancelledError();
    this.active++;
    clearTimeout(this.idle);
    try {
      return await this.forward(method, params, options);
    } finally {
      this.active--;
      if (this.active === 0 && !this.disposed) this.rest();
    }
  }

  /** Ends the process; the next call starts a new one (with new settings). Pending calls are cancelled. */
  stop(): void {
    clearTimeout(this.idle);
    this.connection?.end(new CancelledError());
    this.connection = undefined;
  }

  dispose(): void {
    this.disposed = true;
    this.stop();
  }

  private async forward<M extends Method>(method: M, params: Params<M>, options: CallOptions): Promise<Result<M>> {
    if (method === 'open') {
      const connection = this.connect();
      const summary = (await connection.call('open', params, options)) as ModelSummary;
      return this.remember(summary, connection) as Result<M>;
    }
    const id = 'model' in params ? (params as { model: ModelId }).model : undefined;
    const model = id === undefined ? undefined : this.models.get(id);
    if (id === undefined || !model) return (await this.connect().call(method, params, options)) as Result<M>;
    if (method === 'close') {
      this.models.delete(id);
      // A process that never had it open, or has ended since, has nothing to close.
      if (this.connection !== model.process) return null as Result<M>;
    } else if (this.connect() !== model.process) {
      await this.reopen(id, model, options);
    }
    return (await this.connect().call(method, { ...params, model: model.remote }, options)) as Result<M>;
  }

  private async reopen(id: ModelId, model: OpenModel, options: CallOptions): Promise<void> {
    const connection = this.connect();
    const summary = (await connection.call('open', { path: model.path }, { signal: options.signal })) as ModelSummary;
    model.process = connection;
    model.remote = summary.model;
    this.settings.reopened?.(id, { ...summary, model: id });
  }

  private remember(summary: ModelSummary, connection: Connection): ModelSummary {
    const known = [...this.models].find(([, model]) => model.path === summary.path);
    const id = known?.[0] ?? this.freeId(summary.model);
    if (known && known[1].process === connection && known[1].remote !== summary.model) {
      // The file changed: what the process remembers of its old contents nobody will ask for again.
      connection.call('close', { model: known[1].remote }, {}).catch(() => undefined);
    }
    this.models.set(id, { path: summary.path, process: connection, remote: summary.model });
    return { ...summary, model: id };
  }

  /** Two processes may give the same id to different models. */
  private freeId(wanted: ModelId): ModelId {
    let id = wanted;
    for (let n = 2; this.models.has(id); n++) id = `${wanted}#${n}`;
    return id;
  }

  private connect(): Connection {
    if (this.connection && !this.connection.ended) return this.connection;
    this.connection = new Connection(this.settings, (connection) => {
      if (this.connection === connection) this.connection = undefined;
    });
    return this.connection;
  }

  private rest(): void {
    this.idle = setTimeout(() => {
      this.settings.log('info', 'The compute process rests until it is needed again.');
      this.stop();
    }, this.settings.idleMs ?? 10 * 60_000);
    this.idle.unref?.();
  }
}

/** One process and the calls that wait for it. */
class Connection {
  readonly child: ChildProcess;
  ended = false;
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;

  constructor(
    private readonly settings: ClientSettings,
    private readonly onEnd: (connection: Connection) => void,
  ) {
    this.child = fork(settings.script, [JSON.stringify(settings.options())], {
      serialization: 'advanced',
      silent: true,
      execArgv: [...(settings.execArgv ?? [])],
      // The extension host of desktop VS Code is Electron, which is Node only when told so.
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
    });
    settings.log('info', `Compute process ${this.child.pid ?? '(none)'} started.`);
    this.child.stdout?.on('data', (text: Buffer) => settings.log('info', text.toString().trimEnd()));
    this.child.stderr?.on('data', (text: Buffer) => settings.log('warn', text.toString().trimEnd()));
    this.child.on('message', (message) => this.receive(message as Response));
    this.child.on('error', (error) => this.lost(error.message));
    this.child.on('exit', (code, signal) => this.lost(signal ?? `exit code ${code}`));
  }

  call(method: Method, params: unknown, options: CallOptions): Promise<unknown> {
    const id = this.nextId++;
    const answer = new Promise<unknown>((resolve, reject) => this.pending.set(id, { method, options, resolve, reject }));
    const cancelled = (): void => this.cancel(id);
    options.signal?.addEventListener('abort', cancelled, { once: true });
    this.send({ kind: 'call', id, method, params });
    return answer.finally(() => options.signal?.removeEventListener('abort', cancelled));
  }

  /** Kills the process; calls that still wait reject with `reason`. */
  end(reason: Error): void {
    if (this.ended) return;
    this.ended = true;
    this.child.kill('SIGKILL');
    this.rejectAll(() => reason);
    this.onEnd(this);
  }

  private receive(message: Response): void {
    if (message.kind === 'ready') return;
    const pending = this.pending.get(message.id);
    if (!pending) return;
    switch (message.kind) {
      case 'progress':
        pending.options.progress?.(message.done, message.total, message.message);
        break;
      case 'columns':
        pending.options.columns?.(message.columns);
        break;
      case 'training':
        pending.options.training?.(message.update);
        break;
      case 'round':
        pending.options.round?.(message.round);
        break;
      case 'result':
        this.pending.delete(message.id);
        pending.resolve(message.result);
        break;
      case 'error':
        this.pending.delete(message.id);
        if (message.error.stack) this.settings.log('error', message.error.stack);
        pending.reject(message.error.cancelled ? new CancelledError() : new RemoteFailure(message.error.message));
        break;
    }
  }

  private cancel(id: number): void {
    const pending = this.pending.get(id);
    if (!pending || this.ended) return;
    this.send({ kind: 'cancel', id });
    // The caller hears within a second, whether or not the process does.
    setTimeout(() => pending.reject(new CancelledError()), this.settings.answerMs ?? 900).unref?.();
    const kill = setTimeout(() => {
      if (!this.pending.has(id) || this.ended) return;
      this.settings.log('warn', `Compute process ${this.child.pid} did not answer a cancel while ${activity(pending.method)}; killed.`);
      this.pending.delete(id);
      pending.reject(new CancelledError());
      this.end(new ParticlizeError({
        cause: 'another task had to be stopped by force, and this one with it',
        action: 'Start it again',
      }));
    }, this.settings.killMs ?? 4000);
    kill.unref?.();
  }

  private send(message: Request): void {
    if (this.ended) return;
    this.child.send(message, (error) => {
      if (error) this.lost(error.message);
    });
  }

  private lost(how: string): void {
    if (this.ended) return;
    this.ended = true;
    this.child.kill('SIGKILL');
    this.settings.log('error', `Compute process ${this.child.pid ?? '(none)'} ended: ${how}.`);
    const doing = [...new Set([...this.pending.values()].map((pending) => activity(pending.method)))];
    const sentence = `The compute process ended (${how})${doing.length > 0 ? ` while ${doing.join(' and ')}` : ''}`;
    this.onEnd(this);
    this.rejectAll((method) => new ProcessEndedError({
      cause: `the compute process ended (${how}) while ${activity(method)}`,
      action: 'It starts again with the next step',
    }));
    this.settings.crashed(`${sentence}; it starts again with the next step, and nothing on disk was changed.`);
  }

  private rejectAll(reason: (method: Method) => Error): void {
    for (const pending of this.pending.values()) pending.reject(reason(pending.method));
    this.pending.clear();
  }
}

/** A call was interrupted because its process ended; the user has been told once, by `crashed`. */
export class ProcessEndedError extends ParticlizeError {}

/** An error that the compute process has already put into one sentence. */
class RemoteFailure extends ParticlizeError {
  constructor(message: string) {
    super({ cause: message });
    this.message = message;
  }
}
