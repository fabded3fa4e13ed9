import type { HostMethods, PanelEvent, PanelRequest, PanelSnapshot } from '../../../src/compute/panelProtocol';
import type { ActivationData, ArrayData } from '../../../src/compute/protocol';

/**
 * Stands in for VS Code in the page: answers the panel's calls from data that the test put on `window.fakeData`, and
 * records them. Tests steer it through `window.fakeHost`.
 */
export interface FakeData {
  snapshot: PanelSnapshot | undefined;
  weights: Record<string, ArrayData>;
  activations: Record<string, ActivationData>;
  /** Answers of other compute methods, by method and then by `layer`, `layer name`, or whatever answerKey makes of a request. */
  answers?: Record<string, Record<string, unknown>>;
  state?: unknown;
  /** Methods that fail with this sentence from the start. */
  failing?: Record<string, string>;
}

export interface FakeHost {
  readonly received: PanelRequest[];
  /** Methods that fail with this sentence from now on. */
  readonly failing: Record<string, string>;
  state: unknown;
  push(event: PanelEvent): void;
}

declare global {
  interface Window {
    fakeData: FakeData;
    fakeHost: FakeHost;
    /** Reads what `packed` wrote. */
    unpacked: (text: string) => unknown;
    acquireVsCodeApi: () => { postMessage(message: PanelRequest): void; getState(): unknown; setState(state: unknown): void };
  }
}

const host: FakeHost = {
  received: [],
  failing: { ...window.fakeData.failing },
  state: undefined,
  push: (event) => window.postMessage(event, '*'),
};
window.fakeHost = host;
window.acquireVsCodeApi = () => ({
  postMessage: (message) => {
    host.received.push(message);
    // Structured cloning, as between processes: what cannot be cloned fails here too.
    void answer(structuredClone(message));
  },
  getState: () => window.fakeData.state,
  setState: (state) => (host.state = structuredClone(state)),
});

async function answer(message: PanelRequest): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 5));
  const failure = host.failing[message.method];
  if (failure !== undefined) {
    host.push({ kind: 'error', id: message.id, message: failure });
    return;
  }
  host.push({ kind: 'result', id: message.id, result: result(message) });
}

function result(message: PanelRequest): unknown {
  const { snapshot, weights, activations } = window.fakeData;
  if (message.kind === 'host') {
    const results: Partial<Record<keyof HostMethods, unknown>> = {
      snapshot,
      goToDefinition: { found: true },
      applySuggestions: { applied: true, message: 'Applied: digits.small.onnx and digits_torch.py were written.' },
      saveFile: {},
    };
    if (message.method === 'values') return columnValues(message.params as HostMethods['values']['params']);
    return results[message.method] ?? null;
  }
  const params = message.params as { layer: string; from: number; to: number };
  const answers = window.fakeData.answers?.[message.method];
  if (answers) return answers[answerKey(message.params as Record<string, unknown>)] ?? answers[''];
  if (message.method === 'details') return [];
  if (message.method === 'activations') return activations[params.layer];
  const { shape, values } = weights[params.layer] ?? { shape: [1, 1], values: new Float32Array(1) };
  const one = values.length / shape[0]!;
  return { shape: [params.to - params.from, ...shape.slice(1)], values: values.slice(params.from * one, params.to * one) };
}

/** What the column of `largeModel` is in a row: a wave, so that a test knows it too. */
function columnValues({ from, to }: HostMethods['values']['params']): Float32Array {
  return Float32Array.from({ length: to - from }, (_, i) => Math.sin((from + i) / 300) ** 2);
}

/** `conv2 topSamples`, `16,17`: what tells requests of one method apart. */
function answerKey({ layer, name, rows }: Record<string, unknown>): string {
  return [layer, name, rows].filter((part) => part !== undefined).map(String).join(' ');
}
