import type { PanelSnapshot, Running } from '../../src/compute/panelProtocol';
import { formatBytes, formatCount, formatPercent } from '../../src/core/charts/numberFormat';
import { fill, h } from '../shared/dom';
import { strings } from '../shared/strings';
import { reportTo, type PanelContext, type View } from './panelContext';

/** Which model this is, what it costs, and what can be run on it. */
export function header({ store, client }: PanelContext): View {
  const report = reportTo(store);
  const title = h('div', { class: 'header-title' });
  const facts = h('dl', { class: 'facts' });
  const findings = h('div');
  // Dialogs and long work: the host answers when they are over, progress comes as events.
  const waiting = { timeoutMs: 0 };
  const recipe = h('button', {
    type: 'button',
    class: 'button secondary',
    title: strings.recipeMeaning,
    on: { click: () => void client.host('chooseRecipe', {}, waiting).catch(report) },
  });
  const analyse = h(
    'button',
    { type: 'button', class: 'button', on: { click: () => void client.host('runBehaviour', {}, waiting).catch(report) } },
    strings.analyse,
  );
  const suggest = h(
    'button',
    {
      type: 'button',
      class: 'button secondary',
      on: {
        click: () => {
          store.set({ detail: 'suggestions' });
          void client.host('suggest', { maxDrop: store.state.maxDrop }, waiting).catch(report);
        },
      },
    },
    strings.suggest,
  );
  const progress = progressLine(() => void client.host('cancel', {}).catch(report));
  const element = h(
    'header',
    { class: 'header' },
    h('div', { class: 'header-top' }, title, h('div', { class: 'header-actions' }, recipe, analyse, suggest)),
    facts,
    findings,
    progress.element,
  );
  const stop = store.watch(['snapshot', 'running'], ({ snapshot, running }) => {
    progress.show(running);
    if (!snapshot) return;
    const { summary } = snapshot;
    fill(
      title,
      h('h1', {}, fileName(summary.path)),
      h('div', { class: 'muted' }, [summary.formatTitle, summary.producer].filter(Boolean).join(' · ')),
    );
    fill(facts, ...factsOf(snapshot));
    fill(findings, findingsOf(snapshot));
    recipe.textContent = snapshot.recipe ? strings.recipe(snapshot.recipe.title) : strings.chooseRecipe;
    const blocked = !snapshot.recipe || running !== undefined;
    const why = running ? running.title : snapshot.recipe ? '' : strings.needsRecipe;
    for (const button of [analyse, suggest]) {
      button.disabled = blocked;
      button.title = why;
    }
    // Without a recipe, choosing one is what comes next.
    recipe.classList.toggle('secondary', snapshot.recipe !== undefined);
    analyse.classList.toggle('secondary', snapshot.recipe === undefined);
  });
  return { element, dispose: stop };
}

export function fileName(path: string): string {
  return path.split(/[\\/]/).pop() ?? path;
}

function factsOf({ summary, engine }: PanelSnapshot): HTMLElement[] {
  const fact = (label: string, value: string, meaning = '') =>
    h('div', { title: meaning }, h('dt', {}, label), h('dd', {}, value));
  return [
    fact(strings.layers, formatCount(summary.layers.length)),
    fact(strings.particles, formatCount(summary.particleCount)),
    fact(strings.parameters, formatCount(summary.parameters)),
    fact(strings.macs, formatCount(summary.macs), strings.macsMeaning),
    fact(strings.size, formatBytes(summary.sizeBytes)),
    fact(strings.engine, engine),
  ];
}

function findingsOf({ summary }: PanelSnapshot): HTMLElement | null {
  if (summary.findings.length === 0) return null;
  return h(
    'details',
    { class: 'findings' },
    h('summary', {}, strings.findings(summary.findings.length)),
    h(
      'ul',
      {},
      ...summary.findings.map((finding) =>
        h('li', { class: `finding ${finding.severity}` }, h('span', { class: 'place' }, finding.place), ` ${finding.message}`),
      ),
    ),
  );
}

function progressLine(cancel: () => void) {
  const bar = h('progress', { max: 1 });
  const text = h('span', { class: 'progress-text' });
  const share = h('span', { class: 'progress-share muted', attributes: { 'aria-hidden': 'true' } });
  const button = h('button', { type: 'button', class: 'button secondary small' }, strings.cancel);
  button.addEventListener('click', () => {
    button.disabled = true;
    button.textContent = strings.cancelling;
    cancel();
  });
  const element = h('div', { class: 'progress', hidden: true }, bar, h('div', { class: 'progress-line' }, text, share, button));
  let shown = '';
  return {
    element,
    show(running: Running | undefined): void {
      element.hidden = !running;
      if (!running) {
        shown = '';
        button.disabled = false;
        button.textContent = strings.cancel;
        return;
      }
      const known = running.total > 0;
      if (known) bar.value = Math.min(1, running.done / running.total);
      else bar.removeAttribute('value');
      bar.setAttribute('aria-label', running.title);
      const words = running.message ? `${running.title}: ${running.message}` : running.title;
      // Only new words are read out, not every step.
      if (words !== shown) text.textContent = shown = words;
      const left = running.remainingMs === undefined ? '' : strings.remaining(duration(running.remainingMs));
      share.textContent = [known ? formatPercent(running.done / running.total, 0) : '', left].filter(Boolean).join(' · ');
    },
  };
}

function duration(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
