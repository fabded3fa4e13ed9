import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { PanelEvent } from '../../src/compute/panelProtocol';
import { Panel } from '../../src/host/panel/panel';
import { extension, sampleFile, until } from './extensionApi';

describe('panel, host side', function () {
  this.timeout(60_000);

  const received: PanelEvent[] = [];
  let send: (message: unknown) => void;
  let webview: vscode.WebviewPanel;
  let nextId = 1;

  before(async () => {
    const { services } = await extension();
    const model = await services.models.open(sampleFile('model.onnx'));
    const real = vscode.window.createWebviewPanel('particlize.test', 'test', vscode.ViewColumn.Active);
    const messages = new vscode.EventEmitter<unknown>();
    send = (message) => messages.fire(message);
    // The real webview, but its messages come from here and end here.
    const inner = overlay(real.webview, {
      onDidReceiveMessage: messages.event,
      postMessage: async (event: PanelEvent) => received.push(event) > 0,
    });
    webview = overlay(real, { webview: inner, visible: true });
    new Panel(webview, model, services);
  });

  after(async () => {
    webview.dispose();
    const { services } = await extension();
    for (const model of services.models.all) await services.models.close(model);
  });

  const ask = async (kind: string, method: string, params: unknown = {}): Promise<Extract<PanelEvent, { id: number }>> => {
    const id = nextId++;
    const answer = (): PanelEvent | undefined => received.find((event) => 'id' in event && event.id === id);
    send({ kind, id, method, params });
    await until(() => answer() !== undefined, `the answer to ${method}`);
    return answer() as Extract<PanelEvent, { id: number }>;
  };

  it('its page lets in only its own script, by nonce', () => {
    const policy = /Content-Security-Policy" content="([^"]*)"/.exec(webview.webview.html)?.[1] ?? '';
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    const scripts = policy.split('; ').find((rule) => rule.startsWith('script-src')) ?? '';
    assert.match(scripts, /^script-src 'nonce-[\w+/=]+'$/);
    for (const tag of webview.webview.html.match(/<script[^>]*>/g) ?? []) assert.match(tag, /nonce=/);
    assert.deepEqual(webview.webview.options.localResourceRoots?.map((root) => root.path.split('/').slice(-2).join('/')), ['dist/webview']);
  });

  it('answers with the snapshot of its model', async () => {
    const answer = await ask('host', 'snapshot');
    assert.ok(answer.kind === 'result');
    assert.equal((answer.result as { summary: { particleCount: number } }).summary.particleCount, 122);
  });

  it('passes allowed calls on, for its own model whatever the panel says', async () => {
    const answer = await ask('compute', 'weights', { model: 'another', layer: 'conv1', from: 0, to: 2 });
    assert.ok(answer.kind === 'result', JSON.stringify(answer));
    const { shape, values } = answer.result as { shape: number[]; values: Float32Array };
    assert.deepEqual(shape, [2, 1, 3, 3]);
    assert.equal(values.length, 18);
  });

  for (const [kind, method] of [['compute', 'apply'], ['compute', 'open'], ['host', 'constructor'], ['host', 'toString'], ['other', 'snapshot']] as const) {
    it(`refuses ${kind} ${method}`, async () => {
      const answer = await ask(kind, method, { folder: '.', path: 'model.onnx' });
      assert.ok(answer.kind === 'error');
      assert.match(answer.message, /may not/);
    });
  }

  it('answers an error as one sentence', async () => {
    const answer = await ask('compute', 'weights', { layer: 'no such layer', from: 0, to: 1 });
    assert.ok(answer.kind === 'error');
    // This bundle's ParticlizeError is another class than the extension's: here every error counts as unforeseen.
    assert.match(answer.message, /^[A-Z][^\n]*\.$/);
    assert.doesNotMatch(answer.message, /undefined|\bat \w/);
  });

  it('tells which layer another face asked to see, and repeats it with the same turn', async () => {
    const { services } = await extension();
    const model = services.models.active!;
    const focus = async (): Promise<{ layer: string; turn: number }> => {
      const answer = await ask('host', 'snapshot');
      assert.ok(answer.kind === 'result');
      return (answer.result as { focus: { layer: string; turn: number } }).focus;
    };
    model.select(model.rowsOf('conv2'), { layer: 'conv2' });
    const first = await focus();
    assert.equal(first.layer, 'conv2');
    assert.deepEqual(await focus(), first);
    model.select(model.rowsOf('conv2'), { layer: 'conv2' });
    assert.ok((await focus()).turn > first.turn, 'asking again turns the panel again');
  });

  it('tells what was selected elsewhere', async () => {
    const { services } = await extension();
    services.models.active?.select([3, 5]);
    services.models.active?.select([3, 5, -1, 99999]);
    const answer = await ask('host', 'snapshot');
    assert.ok(answer.kind === 'result');
    assert.deepEqual((answer.result as { selection: number[] }).selection, [3, 5]);
  });
});

/** An object with some properties replaced; the rest works on the object itself (VS Code's have private members). */
function overlay<T extends object>(target: T, replaced: { readonly [K in keyof T]?: unknown }): T {
  return new Proxy(target, {
    get: (object, key) => {
      if (key in replaced) return replaced[key as keyof T];
      const value: unknown = Reflect.get(object, key);
      return typeof value === 'function' ? value.bind(object) : value;
    },
    set: (object, key, value) => Reflect.set(object, key, value),
  });
}
