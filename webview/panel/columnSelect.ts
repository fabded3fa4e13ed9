import type { ColumnData } from '../../src/compute/protocol';
import { fill, h, uniqueId } from '../shared/dom';
import { columnGroups } from './columnText';

/** A list of columns to choose from, grouped; the browser's own control, so that keyboard and readers know it. */
export class ColumnSelect {
  readonly element: HTMLElement;
  private readonly select: HTMLSelectElement;
  private shown = '';

  constructor(label: string, chosen: (name: string) => void) {
    const id = uniqueId('column');
    this.select = h('select', { id, on: { change: () => chosen(this.select.value) } });
    this.element = h('div', { class: 'field' }, h('label', { htmlFor: id }, label), this.select);
  }

  show(columns: ReadonlyMap<string, ColumnData>, value: string): void {
    const groups = columnGroups(columns);
    const key = JSON.stringify(groups.map((group) => group.columns.map(({ name, title }) => [name, title])));
    // Rebuilding an open list would close it.
    if (key !== this.shown) {
      this.shown = key;
      fill(
        this.select,
        ...groups.map((group) => {
          const list = h('optgroup', { label: group.label });
          const options = group.columns.map((column) => h('option', { value: column.name, title: column.meaning }, titleOf(column)));
          fill(list, ...options);
          return list;
        }),
      );
    }
    this.select.value = value;
    this.select.disabled = groups.length === 0;
  }
}

function titleOf(column: ColumnData): string {
  return column.unit ? `${column.title} (${column.unit})` : column.title;
}
