import './panel.css';
import type { PanelEvent, PanelRequest, PanelState as KeptState } from '../../src/compute/panelProtocol';
import { fill, h } from '../shared/dom';
import { ProtocolClient } from '../shared/protocolClient';
import { strings } from '../shared/strings';
import { readTheme, watchTheme } from '../shared/theme';
import { Tooltip } from '../shared/tooltip';
import { columnPulls } from './columnPulls';
import { detail } from './detail';
import { header } from './header';
import { overview } from './overview';
import type { PanelContext } from './panelContext';
import { kept, restoredSettings, settingsOf, Store, type PanelState as StoreState, withColumns, withFocus, withSnapshot } from './state';

interface VsCodeApi {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

start(acquireVsCodeApi());

function start(vscode: VsCodeApi): void {
  const store = new Store({ ...restoredSettings((vscode.getState() as Partial<KeptState> | undefined)?.view), theme: readTheme() });
  const client = new ProtocolClient({
    send: (message: PanelRequest) => vscode.postMessage(message),
    listen: (received) => {
      const listener = (event: MessageEvent<PanelEvent>) => received(event.data);
      addEventListener('message', listener);
      return () => removeEventListener('message', listener);
    },
  });
  const context: PanelContext = { store, client, tooltip: new Tooltip(), pulls: columnPulls(store, client) };

  client.on('snapshot', ({ snapshot }) => store.set(withSnapshot(store.state, snapshot)));
  client.on('columns', ({ columns }) => store.set(withColumns(store.state, columns)));
  client.on('running', ({ running }) => store.set({ running }));
  client.on('suggestions', ({ suggestions }) => store.set({ suggestions }));
  // What was selected here comes back from the host, without a new focus.
  client.on('selection', ({ rows, focus }) => store.set({ selection: kept(store.state.selection, rows), ...withFocus(store.state, focus) }));
  watchTheme((theme) => store.set({ theme }));
  keepSettings(store, vscode);
  reportUnforeseen(client);

  const load = async (): Promise<void> => {
    store.set({ failure: undefined });
    try {
      store.set(withSnapshot(store.state, await client.host('snapshot', {})));
    } catch (error) {
      if (!store.state.snapshot) store.set({ failure: error instanceof Error ? error.message : String(error) });
    }
  };
  const root = document.getElementById('root') ?? document.body.appendChild(h('div', { id: 'root' }));
  showContent(root, context, () => void load());
  void load();
}

/** Loading, a failure, or the panel itself, which is built once. */
function showContent(root: HTMLElement, context: PanelContext, retry: () => void): void {
  const { store } = context;
  let built = false;
  store.watch(['snapshot', 'failure'], ({ snapshot, failure }) => {
    if (built) return;
    if (snapshot) {
      built = true;
      const main = h('div', { class: 'columns-layout' }, overview(context).element, detail(context).element);
      fill(root, header(context).element, banner(context), main);
    } else if (failure !== undefined) {
      fill(
        root,
        h(
          'div',
          { class: 'whole', attributes: { role: 'alert' } },
          h('h1', {}, strings.noModel),
          h('p', {}, failure),
          h('button', { type: 'button', class: 'button', on: { click: retry } }, strings.retry),
        ),
      );
    } else {
      fill(root, h('div', { class: 'whole', attributes: { role: 'status' } }, h('p', { class: 'muted' }, strings.loading)));
    }
  });
}

function banner({ store }: PanelContext): HTMLElement {
  const element = h('div', { class: 'banner-place' });
  store.watch(['message'], ({ message }) => {
    const dismiss = () => store.set({ message: undefined });
    fill(
      element,
      message
        ? h(
            'div',
            { class: `banner ${message.level}`, attributes: { role: message.level === 'error' ? 'alert' : 'status' } },
            h('span', {}, message.text),
            h('button', { type: 'button', class: 'icon-button', title: strings.dismiss, attributes: { 'aria-label': strings.dismiss }, on: { click: dismiss } }, '×'),
          )
        : null,
    );
  });
  return element;
}

function keepSettings(store: Store, vscode: VsCodeApi): void {
  let stored = '';
  const keys: (keyof StoreState)[] = [...(Object.keys(settingsOf(store.state)) as (keyof StoreState)[]), 'snapshot'];
  store.watch(keys, (state) => {
    // The path is what VS Code brings the panel back with; before the model is known nothing is worth keeping.
    const path = state.snapshot?.summary.path;
    if (path === undefined) return;
    const keep: KeptState = { path, view: settingsOf(state) };
    const text = JSON.stringify(keep);
    if (text === stored) return;
    stored = text;
    vscode.setState(keep);
  });
}

/** Something nobody foresaw: to the extension's log, where it can be found. */
function reportUnforeseen(client: ProtocolClient): void {
  const log = (message: string) => void client.host('log', { level: 'error', message }).catch(() => undefined);
  addEventListener('error', (event) => log(event.error instanceof Error ? (event.error.stack ?? event.message) : event.message));
  addEventListener('unhandledrejection', (event) => log(String(event.reason)));
}
