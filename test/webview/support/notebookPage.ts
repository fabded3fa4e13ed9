import type { OutputItem } from 'vscode-notebook-renderer';
import { activate } from '../../../webview/notebook/renderer';

/** Plays the notebook: hands outputs to the renderer as VS Code does. */
const api = activate();

window.renderer = {
  draw(id, text) {
    const item = { id, mime: 'application/vnd.particlize.v1+json', metadata: {}, text: () => text, json: () => JSON.parse(text) as unknown };
    // In a task of its own: while a test evaluates in the page, the browser lifts the ban on eval.
    setTimeout(() => void api.renderOutputItem(item as unknown as OutputItem, document.getElementById('output')!, new AbortController().signal));
  },
  dispose: (id) => api.disposeOutputItem?.(id),
};
