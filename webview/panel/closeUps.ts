import type { DetailInfo } from '../../src/core/behaviour/details/detail';
import type { DetailResult, LayerSummary } from '../../src/compute/protocol';
import { fill, h } from '../shared/dom';
import { strings } from '../shared/strings';
import { sourceText } from './columnText';
import { drawDetail } from './detailDrawing';
import { reportTo, type PanelContext, type View } from './panelContext';
import { failure } from './weightImages';

/** Everything that can be looked at closely in a layer (or in one of its particles): computed when it is unfolded. */
export function closeUps(context: PanelContext, layer: LayerSummary, particle?: number): View {
  const { client } = context;
  const list = h('div', { class: 'close-ups' }, h('p', { class: 'muted' }, strings.loading));
  const element = h('section', { class: 'block' }, h('h3', {}, strings.closeUps), list);
  let parts: View[] = [];
  let disposed = false;
  const load = async (): Promise<void> => {
    try {
      const infos = await client.compute('details', { layer: layer.name });
      if (disposed) return;
      const mine = infos.filter(({ of }) => of === (particle === undefined ? 'layer' : 'particle'));
      parts = mine.map((info) => closeUp(context, layer, particle, info));
      fill(list, ...(parts.length > 0 ? parts.map((part) => part.element) : [h('p', { class: 'empty' }, strings.noCloseUps)]));
    } catch (error) {
      if (!disposed) fill(list, failure(error, () => void load()));
    }
  };
  void load();
  return {
    element,
    dispose: () => {
      disposed = true;
      parts.forEach((part) => part.dispose());
    },
  };
}

function closeUp({ store, client, tooltip }: PanelContext, layer: LayerSummary, particle: number | undefined, info: DetailInfo): View {
  const body = h('div', { class: 'close-up-body' });
  const element = h('details', { class: 'close-up', open: store.state.openDetails.includes(info.name), attributes: { 'data-detail': info.name } }, h('summary', {}, info.title), h('p', { class: 'note' }, info.meaning), body);
  let drawn: View | undefined;
  let asked = '';
  let turn = 0;
  let result: DetailResult | undefined;
  const chosen = (row: number): void => {
    const { layers } = store.state;
    const home = layers.find(({ firstRow, count }) => row >= firstRow && row < firstRow + count);
    store.set({ selection: [row], particle: row, detail: 'particle', ...(home ? { layer: home.name } : {}) });
    void client.host('select', { rows: [row] }).catch(reportTo(store));
  };
  const draw = (): void => {
    if (!result) return;
    drawn?.dispose();
    const { layers, theme, selection } = store.state;
    drawn = drawDetail(result.data, { layers, theme, tooltip, selected: new Set(selection), chosen, sampleChosen: (sample) => store.set({ sample }) });
    fill(body, drawn.element, h('p', { class: 'provenance' }, sourceText(result.provenance)));
  };
  const load = async (again = false): Promise<void> => {
    if (!element.open) return;
    const { snapshot, sample } = store.state;
    const recipe = snapshot?.recipe?.path;
    if (info.needs !== 'weights' && recipe === undefined) {
      asked = '';
      result = undefined;
      fill(body, h('p', { class: 'empty' }, strings.closeUpNeedsRecipe));
      return;
    }
    const question = JSON.stringify([snapshot?.summary.model, info.needs === 'weights' ? '' : recipe, info.ofSample ? sample : -1]);
    if (question === asked && !again) return;
    asked = question;
    const mine = ++turn;
    if (!result) fill(body, h('p', { class: 'muted', attributes: { role: 'status' } }, info.needs === 'weights' ? strings.loadingWeights : strings.running));
    try {
      const { name } = info;
      const found = await client.compute('detail', { name, layer: layer.name, ...(particle === undefined ? {} : { particle }), ...(recipe === undefined ? {} : { recipe }), ...(info.ofSample ? { sample } : {}) }, { timeoutMs: 0 });
      if (mine !== turn) return;
      result = found;
      draw();
    } catch (error) {
      if (mine !== turn) return;
      result = undefined;
      fill(body, failure(error, () => void load(true)));
    }
  };
  element.addEventListener('toggle', () => {
    const others = store.state.openDetails.filter((name) => name !== info.name);
    store.set({ openDetails: element.open ? [...others, info.name] : others });
    void load();
  });
  const stops = [store.watch(['snapshot', 'sample'], () => void load()), store.watch(['theme', 'selection'], draw)];
  return {
    element,
    dispose: () => {
      turn++;
      stops.forEach((stop) => stop());
      drawn?.dispose();
    },
  };
}
