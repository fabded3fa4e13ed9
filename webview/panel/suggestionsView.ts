import type { Evaluation } from '../../src/core/evaluate/evaluation';
import type { Prediction, Suggestion } from '../../src/core/optimise/plan';
import { formatBytes, formatChange, formatCount, formatNumber, formatPercent, narrowSpace } from '../../src/core/charts/numberFormat';
import { fill, h, uniqueId } from '../shared/dom';
import { strings } from '../shared/strings';
import { reportTo, type PanelContext, type View } from './panelContext';

/** What can go, what that would change, and what must stay; pointing at a suggestion hatches its particles in the map. */
export function suggestionsView({ store, client }: PanelContext): View {
  const report = reportTo(store);
  const body = h('div');
  const drop = dropField(
    (maxDrop) => store.set({ maxDrop }),
    () => void client.host('suggest', { maxDrop: store.state.maxDrop }, { timeoutMs: 0 }).catch(report),
  );
  const apply = async (suggestion: Suggestion, button: HTMLButtonElement): Promise<void> => {
    button.disabled = true;
    try {
      const { applied, message } = await client.host('applySuggestions', { ids: [suggestion.id] }, { timeoutMs: 0 });
      if (applied || message) store.set({ message: { level: 'info', text: message ?? strings.applied } });
    } finally {
      button.disabled = false;
    }
  };
  const card = (suggestion: Suggestion, baseline: Evaluation): HTMLElement => {
    const titleId = uniqueId('suggestion');
    const button = h('button', { type: 'button', class: 'button small', title: strings.applyMeaning }, strings.apply);
    button.setAttribute('aria-describedby', titleId);
    button.addEventListener('click', () => void apply(suggestion, button).catch(report));
    const preview = () => store.set({ hatched: suggestion.particles });
    const clear = () => store.set({ hatched: [] });
    return h(
      'li',
      {
        class: 'suggestion',
        tabIndex: 0,
        attributes: { 'aria-labelledby': titleId, 'data-id': suggestion.id },
        on: { pointerenter: preview, pointerleave: clear, focusin: preview, focusout: clear },
      },
      h(
        'div',
        { class: 'block-head' },
        h('h3', { id: titleId }, suggestion.title),
        suggestion.lossless ? h('span', { class: 'badge', title: strings.losslessMeaning }, strings.lossless) : null,
      ),
      h('p', { class: 'evidence' }, suggestion.evidence),
      checkedText(suggestion.predicted),
      h('div', { class: 'suggestion-foot' }, h('dl', { class: 'changes' }, ...changes(suggestion.predicted, baseline)), button),
    );
  };
  const stops = [
    // A card that goes while pointed at never hears that the pointer left.
    store.watch(['suggestions'], () => store.set({ hatched: [] })),
    store.watch(['maxDrop', 'snapshot', 'running'], ({ maxDrop, snapshot, running }) =>
      drop.show(maxDrop, snapshot?.recipe !== undefined && running === undefined),
    ),
    store.watch(['suggestions', 'snapshot', 'running'], ({ suggestions, snapshot, running }) => {
      if (!suggestions) {
        fill(body, running ? null : h('p', { class: 'empty' }, snapshot?.recipe ? strings.noSuggestionsYet : strings.suggestionsNeedRecipe));
        return;
      }
      const { baseline, refusals, front } = suggestions;
      const cards = (list: readonly Suggestion[]) => h('ul', { class: 'suggestions' }, ...list.map((suggestion) => card(suggestion, baseline)));
      fill(
        body,
        h('p', { class: 'baseline' }, `${strings.baseline}: ${baselineText(baseline)}`),
        suggestions.suggestions.length === 0 ? h('p', { class: 'empty' }, strings.noSuggestions) : null,
        cards(suggestions.suggestions),
        // One option alone is no choice.
        front.length < 2
          ? null
          : h(
              'details',
              { class: 'options', open: suggestions.suggestions.length === 0 },
              h('summary', { title: strings.optionsMeaning }, `${strings.options} (${front.length})`),
              h('p', { class: 'evidence' }, strings.optionsMeaning),
              cards(front),
            ),
        refusals.length === 0
          ? null
          : h(
              'details',
              { class: 'refusals', open: suggestions.suggestions.length === 0 },
              h('summary', {}, strings.refusals(refusals.length)),
              h('dl', {}, ...refusals.map(({ layer, reason }) => h('div', {}, h('dt', {}, layer), h('dd', {}, reason)))),
            ),
      );
    }),
  ];
  return {
    element: h('div', { class: 'suggestions-view' }, drop.element, body),
    dispose: () => {
      store.set({ hatched: [] });
      stops.forEach((stop) => stop());
    },
  };
}

function dropField(changed: (maxDrop: number) => void, suggest: () => void) {
  const id = uniqueId('drop');
  const input = h('input', {
    type: 'number',
    id,
    min: '0',
    max: '100',
    step: '0.1',
    on: { change: () => changed(Math.max(0, Math.min(100, Number(input.value) || 0)) / 100) },
  });
  const button = h('button', { type: 'button', class: 'button secondary small', on: { click: suggest } }, strings.suggest);
  return {
    element: h('div', { class: 'field inline drop' }, h('label', { htmlFor: id }, strings.accept), input, h('span', { class: 'muted' }, strings.percentPoints), button),
    show(maxDrop: number, enabled: boolean): void {
      input.value = String(Number((maxDrop * 100).toFixed(3)));
      button.disabled = !enabled;
      button.title = enabled ? '' : strings.needsRecipe;
    },
  };
}

function baselineText({ loss, metrics, decisive, samples }: Evaluation): string {
  const metric = metrics[decisive.name];
  const shown = metric === undefined ? '' : `${decisive.name} ${metricText(decisive.name, metric)}, `;
  return `${shown}${strings.loss.toLowerCase()} ${formatNumber(loss)}, ${strings.samples(samples)}`;
}

/** Metrics that are shares read as percent. */
function metricText(name: string, value: number): string {
  return isShare(name) ? formatPercent(value, 1) : formatNumber(value);
}

function isShare(name: string): boolean {
  return /accuracy|precision|recall|f1|hit/i.test(name);
}

/** A difference of two percentages: 0.0083 is 0.83 points. */
function points(share: number): string {
  return `${formatPercent(share, 2).replace(/\D*$/, '')}${narrowSpace}${strings.points}`;
}

/** What a prediction rests on: half of the samples, where there were enough to hold any back. */
function checkedText({ samples, chosenOn }: Prediction): HTMLElement | null {
  if (samples === undefined) return null;
  return h('p', { class: 'evidence checked' }, chosenOn ? strings.checkedOn(samples) : strings.measuredOn(samples));
}

function changes({ metric, loss, parameters, macs, bytes, latencyMs }: Prediction, baseline: Evaluation): HTMLElement[] {
  const item = (label: string, text: string, title: string) => h('div', { title }, h('dt', {}, label), h('dd', {}, text));
  const left = (label: string, after: number, before: number, format: (size: number) => string) =>
    item(
      label,
      before > 0 ? formatChange((after - before) / before, (size) => formatPercent(size)) : formatChange(after - before, format),
      strings.beforeAfter(format(before), format(after)),
    );
  const items: HTMLElement[] = [];
  if (metric) {
    const name = metric.name.charAt(0).toUpperCase() + metric.name.slice(1);
    const text = formatChange(metric.change, (size) => (isShare(metric.name) ? points(size) : formatNumber(size)));
    items.push(item(name, text, ''));
  }
  if (loss !== undefined) {
    // Less than this is the engine's rounding.
    const real = Math.abs(loss) > 1e-6 * Math.abs(baseline.loss) ? loss : 0;
    items.push(item(strings.loss, formatChange(real, (size) => formatNumber(size)), ''));
  }
  items.push(
    left(strings.parameters, parameters, baseline.parameters, formatCount),
    left(strings.macs, macs, baseline.macs, formatCount),
    left(strings.size, bytes, baseline.bytes, formatBytes),
  );
  if (latencyMs) items.push(left(strings.latency, latencyMs.after, latencyMs.before, (size) => formatNumber(size, 'ms')));
  return items;
}
