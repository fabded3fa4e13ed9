import { fill, h, uniqueId } from '../shared/dom';
import { strings } from '../shared/strings';
import { detailViews } from './detailViews';
import type { PanelContext, View } from './panelContext';

/** The tabs beside the map. A view exists while its tab is shown. */
export function detail(context: PanelContext): View {
  const { store } = context;
  const body = h('div', { class: 'tab-body', id: uniqueId('tab-body'), tabIndex: -1, attributes: { role: 'tabpanel' } });
  const tabs = detailViews.map((view) =>
    h(
      'button',
      {
        type: 'button',
        class: 'tab',
        id: uniqueId('tab'),
        attributes: { role: 'tab', 'aria-controls': body.id },
        on: { click: () => store.set({ detail: view.id }), keydown: (event) => step(event) },
      },
      view.title(store.state),
    ),
  );
  const step = (event: KeyboardEvent): void => {
    const by = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    if (by === 0) return;
    event.preventDefault();
    const index = (shownIndex() + by + tabs.length) % tabs.length;
    store.set({ detail: detailViews[index]!.id });
    tabs[index]!.focus();
  };
  const shownIndex = () => Math.max(0, detailViews.findIndex((view) => view.id === store.state.detail));
  const list = h('div', { class: 'tabs', attributes: { role: 'tablist', 'aria-label': strings.details } }, ...tabs);
  let current: View | undefined;
  let shown = '';
  const stops = [
    store.watch(['detail'], () => {
      const index = shownIndex();
      const view = detailViews[index]!;
      if (view.id === shown) return;
      shown = view.id;
      tabs.forEach((tab, i) => {
        tab.setAttribute('aria-selected', String(i === index));
        tab.tabIndex = i === index ? 0 : -1;
      });
      body.setAttribute('aria-labelledby', tabs[index]!.id);
      current?.dispose();
      current = view.create(context);
      fill(body, current.element);
    }),
    // In a narrow panel the details are below the map: what another face asked for must come into sight.
    store.watch(['followed'], ({ followed }) => {
      if (followed > 0) requestAnimationFrame(() => list.scrollIntoView({ block: list.getBoundingClientRect().bottom > innerHeight ? 'start' : 'nearest' }));
    }),
    store.watch(['suggestions', 'layer', 'particle', 'layers'], (state) => {
      detailViews.forEach((view, i) => (tabs[i]!.textContent = view.title(state)));
    }),
  ];
  return {
    element: h('section', { class: 'detail', attributes: { 'aria-label': strings.details } }, list, body),
    dispose: () => {
      stops.forEach((stop) => stop());
      current?.dispose();
    },
  };
}
