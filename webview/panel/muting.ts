import type { MutedPrediction } from '../../src/compute/protocol';
import { particleName, rowsOfParticles } from '../../src/core/charts/particleLayers';
import { fill, h } from '../shared/dom';
import { strings } from '../shared/strings';
import { samplePicker } from './activationMaps';
import type { PanelContext, View } from './panelContext';
import { answerText, predictionBars } from './predictionBars';
import { failure } from './weightImages';

/** Switches particles off and shows what the model then says of the chosen sample. */
export function muting({ store, client }: PanelContext): View {
  const list = h('div', { class: 'muted-list' });
  const answer = h('div', { attributes: { role: 'status' } });
  const picker = samplePicker((sample) => store.set({ sample }));
  const toggle = h('button', { type: 'button', class: 'button secondary small', title: strings.muteMeaning });
  const element = h('section', { class: 'block muting' }, h('div', { class: 'block-head' }, h('h3', {}, strings.muteTitle), picker.element), h('div', { class: 'muting-line' }, toggle, list), answer);
  let turn = 0;
  let asked = '';

  const chosenIds = (): string[] => {
    const { selection, particle, layers } = store.state;
    const rows = selection.length > 1 ? selection : particle >= 0 ? [particle] : [];
    return rows.map((row) => particleName(layers, row)).filter((id) => id !== '');
  };
  toggle.addEventListener('click', () => {
    const ids = chosenIds();
    const { muted } = store.state;
    const all = ids.every((id) => muted.includes(id));
    store.set({ muted: all ? muted.filter((id) => !ids.includes(id)) : [...new Set([...muted, ...ids])] });
  });
  const predict = async (again = false): Promise<void> => {
    const { snapshot, sample, muted, layers } = store.state;
    picker.element.hidden = toggle.hidden = !snapshot?.recipe;
    if (!snapshot?.recipe) {
      asked = '';
      fill(answer, h('p', { class: 'empty' }, strings.muteNeedsRecipe));
      return;
    }
    picker.show(sample, undefined);
    const rows = rowsOfParticles(layers, muted);
    const question = JSON.stringify([snapshot.summary.model, snapshot.recipe, sample, rows]);
    if (question === asked && !again) return;
    asked = question;
    const mine = ++turn;
    if (rows.length === 0) {
      fill(answer, h('p', { class: 'empty' }, strings.muteNothing));
      return;
    }
    try {
      const result = await client.compute('mutedPrediction', { recipe: snapshot.recipe.path, sample, rows });
      if (mine !== turn) return;
      picker.show(sample, result.samples);
      draw(result);
    } catch (error) {
      if (mine === turn) fill(answer, failure(error, () => void predict(true)));
    }
  };
  const draw = (result: MutedPrediction): void => {
    const { label } = result;
    fill(
      answer,
      h('p', { class: 'answer' }, answerText(result) ?? '', label === undefined ? null : h('span', { class: 'muted' }, ` ${strings.labelIs(label)}`)),
      predictionBars(result),
    );
  };
  const stops = [
    store.watch(['muted', 'particle', 'selection', 'layers'], ({ muted }) => {
      const ids = chosenIds();
      const on = ids.length > 0 && ids.every((id) => muted.includes(id));
      toggle.textContent = ids.length > 1 ? strings.muteSelected(ids.length) : strings.mute;
      toggle.setAttribute('aria-pressed', String(on));
      fill(
        list,
        ...muted.slice(0, mostChips).map((id) => h(
          'button',
          { type: 'button', class: 'chip', title: strings.unmute(id), attributes: { 'aria-label': strings.unmute(id) }, on: { click: () => store.set({ muted: store.state.muted.filter((other) => other !== id) }) } },
          id, h('span', { attributes: { 'aria-hidden': 'true' } }, ' ×'),
        )),
        muted.length > mostChips ? h('span', { class: 'muted' }, strings.mutedNow(muted.length)) : null,
        muted.length > 1 ? h('button', { type: 'button', class: 'link', on: { click: () => store.set({ muted: [] }) } }, strings.unmuteAll) : null,
      );
    }),
    store.watch(['snapshot', 'sample', 'muted', 'layers'], () => void predict()),
  ];
  return {
    element,
    dispose: () => {
      turn++;
      stops.forEach((stop) => stop());
    },
  };
}

const mostChips = 12;
