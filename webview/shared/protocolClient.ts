import type { HostMethods, PanelCompute, PanelEvent, PanelRequest } from '../../src/compute/panelProtocol';
import type { Params, Result } from '../../src/compute/protocol';
import { strings } from './strings';

export interface MessagePort {
  send(message: PanelRequest): void;
  /** Calls for every message from the host; returns how to stop. */
  listen(received: (message: PanelEvent) => void): () => void;
}

type EventKind = Exclude<PanelEvent['kind'], 'result' | 'error'>;
type EventOf<K extends EventKind> = Extract<PanelEvent, { kind: K }>;

export interface CallOptions {
  /** Milliseconds until the call is given up with an error; 0 waits for ever (a dialog is open). */
  readonly timeoutMs?: number;
}

/** Calls to the host and to the compute process behind it, typed by method, each ended by a result or an error. */
export class ProtocolClient {
  private lastId = 0;
  private readonly pending = new Map<number, Pending>();
  private readonly listeners = new Map<EventKind, Set<(event: never) => void>>();
  private readonly stop: () => void;

  constructor(private readonly port: MessagePort) {
    this.stop = port.listen((message) => this.received(message));
  }

  /** Rejects with the host's own sentence, or one about the missing answer. */
  compute<M extends PanelCompute>(
    method: M,
    params: Omit<Params<M>, 'model'>,
    options?: CallOptions,
  ): Promise<Result<M>> {
    return this.call(
      (id) => ({ kind: 'compute', id, method, params: params as Omit<Params<PanelCompute>, 'model'> }),
      method,
      options,
    ) as Promise<Result<M>>;
  }

  host<M extends keyof HostMethods>(
    method: M,
    params: HostMethods[M]['params'],
    options?: CallOptions,
  ): Promise<HostMethods[M]['result']> {
    return this.call((id) => ({ kind: 'host', id, method, params }), method, options) as Promise<HostMethods[M]['result']>;
  }

  on<K extends EventKind>(kind: K, listener: (event: EventOf<K>) => void): () => void {
    let set = this.listeners.get(kind);
    if (!set) this.listeners.set(kind, (set = new Set()));
    set.add(listener as (event: never) => void);
    return () => set.delete(listener as (event: never) => void);
  }

  dispose(): void {
    this.stop();
    for (const { reject, timer } of this.pending.values()) {
      clearTimeout(timer);
      reject(new Error(strings.closed));
    }
    this.pending.clear();
  }

  private call(request: (id: number) => PanelRequest, name: string, options: CallOptions = {}): Promise<unknown> {
    const id = ++this.lastId;
    const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    return new Promise((resolve, reject) => {
      const timer =
        timeoutMs > 0
          ? setTimeout(() => {
              this.pending.delete(id);
              const seconds = Math.round(timeoutMs / 1000);
              reject(new Error(strings.unanswered(name, seconds)));
            }, timeoutMs)
          : undefined;
      this.pending.set(id, { resolve, reject, timer });
      try {
        this.port.send(request(id));
      } catch (error) {
        this.pending.delete(id);
        clearTimeout(timer);
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  private received(message: PanelEvent): void {
    if (message.kind === 'result' || message.kind === 'error') {
      const call = this.pending.get(message.id);
      // Unknown: answered after it was given up.
      if (!call) return;
      this.pending.delete(message.id);
      clearTimeout(call.timer);
      if (message.kind === 'result') call.resolve(message.result);
      else call.reject(new Error(message.message));
      return;
    }
    for (const listener of this.listeners.get(message.kind) ?? []) listener(message as never);
  }
}

const defaultTimeoutMs = 60_000;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout> | undefined;
}
