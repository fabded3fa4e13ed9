import type { ParticleLayer } from '../../src/core/charts/particleLayers';
import { fill, h } from '../shared/dom';
import { strings } from '../shared/strings';
import type { PanelContext, View } from './panelContext';

/** Modules of the model as a tree; what is folded is left out of the map. Arrows move and fold, Enter shows the layer. */
export function moduleTree({ store }: PanelContext): View {
  const list = h('div', { class: 'module-tree', attributes: { role: 'tree', 'aria-label': strings.modules } });
  const element = h('details', { class: 'modules', hidden: true }, h('summary', {}, strings.modules), list);
  let active = '';
  const fold = (path: string, on: boolean): void => {
    const others = store.state.folded.filter((known) => known !== path);
    store.set({ folded: on ? [...others, path] : others });
  };
  const draw = (): void => {
    const { layers, folded } = store.state;
    const all = modulesOf(layers);
    element.hidden = !all.some(({ layer }) => layer === undefined);
    const shown = all.filter(({ path }) => !folded.some((closed) => isInside(path, closed)));
    if (!shown.some(({ path }) => path === active)) active = shown[0]?.path ?? '';
    const focused = list.contains(document.activeElement);
    const go = (path: string | undefined): void => {
      if (path === undefined) return;
      active = path;
      draw();
      list.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
    };
    const items = shown.map(({ path, name, depth, layer, particles }, index) => {
      const closed = folded.includes(path);
      const open = () => (layer === undefined ? fold(path, !closed) : store.set({ layer, detail: 'layer' }));
      const item = h(
        'div',
        {
          class: 'module', tabIndex: path === active ? 0 : -1,
          attributes: { role: 'treeitem', 'aria-level': depth + 1, 'aria-expanded': layer === undefined ? !closed : undefined, 'data-path': path },
          on: {
            click: () => {
              active = path;
              open();
            },
            keydown: (event) => {
              if (event.key === 'ArrowDown') go(shown[index + 1]?.path);
              else if (event.key === 'ArrowUp') go(shown[index - 1]?.path);
              else if (event.key === 'ArrowLeft' && layer === undefined && !closed) fold(path, true);
              else if (event.key === 'ArrowLeft') go(shown.slice(0, index).reverse().find((above) => above.depth < depth)?.path);
              else if (event.key === 'ArrowRight' && closed) fold(path, false);
              else if (event.key === 'ArrowRight') go(shown[index + 1]?.path);
              else if (event.key === 'Enter' || event.key === ' ') open();
              else return;
              event.preventDefault();
            },
          },
        },
        h('span', { class: 'module-twist', attributes: { 'aria-hidden': 'true' } }, layer === undefined ? (closed ? '▸' : '▾') : ''),
        name,
        h('span', { class: 'muted' }, strings.particleSum(particles)),
      );
      item.style.paddingLeft = `${depth * 14}px`;
      return item;
    });
    fill(list, ...items);
    if (focused) list.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
  };
  const stop = store.watch(['layers', 'folded'], draw);
  return { element, dispose: stop };
}

export interface ModuleItem {
  /** Names of the modules down to this one, as the file writes them. */
  readonly path: string;
  readonly name: string;
  readonly depth: number;
  /** The layer, where it is one; else a module that holds several. */
  readonly layer?: string;
  readonly particles: number;
}

/** Modules and layers in the order of the model; a module is a beginning of names, up to a dot or slash, that several layers share. */
export function modulesOf(layers: readonly ParticleLayer[]): ModuleItem[] {
  const totals = new Map<string, { layers: number; particles: number }>();
  for (const { name, count } of layers) {
    for (const path of beginnings(name)) {
      const total = totals.get(path) ?? { layers: 0, particles: 0 };
      totals.set(path, { layers: total.layers + 1, particles: total.particles + count });
    }
  }
  const items: ModuleItem[] = [];
  const made = new Set<string>();
  for (const { name, count } of layers) {
    const parents = beginnings(name).filter((path) => totals.get(path)!.layers > 1);
    parents.forEach((path, depth) => {
      if (made.has(path)) return;
      made.add(path);
      items.push({ path, name: tail(path, parents[depth - 1]), depth, particles: totals.get(path)!.particles });
    });
    items.push({ path: name, name: tail(name, parents[parents.length - 1]), depth: parents.length, layer: name, particles: count });
  }
  return items;
}

/** Layers that no folded module holds. */
export function unfolded(layers: readonly ParticleLayer[], folded: readonly string[]): readonly ParticleLayer[] {
  return folded.length === 0 ? layers : layers.filter(({ name }) => !folded.some((path) => isInside(name, path)));
}

function isInside(path: string, module: string): boolean {
  return path.length > module.length && path.startsWith(module) && /[./]/.test(path[module.length]!);
}

function beginnings(name: string): string[] {
  return [...name.matchAll(/[./]/g)].map(({ index }) => name.slice(0, index)).filter((path) => path !== '');
}

function tail(path: string, parent: string | undefined): string {
  return parent === undefined ? path : path.slice(parent.length + 1);
}
