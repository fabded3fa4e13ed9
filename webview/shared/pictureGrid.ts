import { fill, h } from './dom';
import { paintPicture, type Picture, type PictureScale } from './picture';
import type { Theme } from './theme';

export interface PictureItem {
  readonly picture: Picture;
  /** Short text below: the index. */
  readonly caption: string;
  /** For screen readers and the tooltip. */
  readonly label: string;
  readonly selected?: boolean;
  readonly chosen?: () => void;
}

/** Pictures side by side; one that can be chosen is a button. Strips (one line high) are drawn wide, below each other. */
export function pictureGrid(items: readonly PictureItem[], scale: PictureScale, theme: Theme): HTMLElement {
  const strips = items.length > 0 && items.every(({ picture }) => picture.height === 1 && picture.width > 1);
  const grid = h('div', { class: strips ? 'pictures strips' : 'pictures' });
  fill(
    grid,
    ...items.map(({ picture, caption, label, selected, chosen }) => {
      const canvas = h('canvas', { class: 'picture', attributes: { 'aria-hidden': 'true' } });
      paintPicture(canvas, picture, scale, theme);
      const content = [canvas, h('span', { class: 'caption' }, caption)];
      if (!chosen) return h('div', { class: 'picture-item', title: label, attributes: { role: 'img', 'aria-label': label } }, ...content);
      const button = h('button', { type: 'button', class: 'picture-item', title: label, on: { click: chosen } }, ...content);
      button.setAttribute('aria-label', label);
      button.setAttribute('aria-pressed', String(selected ?? false));
      return button;
    }),
  );
  return grid;
}
