import { fill, h } from './dom';

export interface TooltipLine {
  readonly label: string;
  readonly value: string;
}

/** One tooltip for heatmap and charts. Its text is text: names come from files. */
export class Tooltip {
  private readonly element = h('div', { class: 'tooltip', hidden: true, attributes: { role: 'presentation' } });

  constructor(parent: HTMLElement = document.body) {
    parent.append(this.element);
  }

  show(clientX: number, clientY: number, title: string, lines: readonly TooltipLine[]): void {
    fill(
      this.element,
      title ? h('div', { class: 'tooltip-title' }, title) : null,
      ...lines.map(({ label, value }) =>
        h('div', { class: 'tooltip-line' }, h('span', {}, label), h('span', { class: 'tooltip-value' }, value)),
      ),
    );
    this.element.hidden = false;
    const { width, height } = this.element.getBoundingClientRect();
    const left = clientX + 14 + width > innerWidth ? clientX - width - 10 : clientX + 14;
    const top = clientY + 16 + height > innerHeight ? clientY - height - 10 : clientY + 16;
    this.element.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
  }

  hide(): void {
    this.element.hidden = true;
  }

  dispose(): void {
    this.element.remove();
  }
}
