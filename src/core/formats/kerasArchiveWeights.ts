import type { Tensor } from '../graph/tensor';
import { hdf5At, type Hdf5Group, type Hdf5Object } from './containers/hdf5';
import type { Hdf5Dataset } from './containers/hdf5Dataset';
import type { KerasModelConfig } from './keras/kerasConfig';
import { withOwnEndings, type KerasStore } from './keras/kerasH5Weights';

/**
 * The layout of model.weights.h5 in .keras archives: `layers/conv2d_1/vars/0`. Groups are called by the class and a
 * number within the model, the group `vars` has the layer's name as an attribute in later versions, and the weights of
 * what a layer is made of (a recurrent cell, the projections of attention) lie in groups below.
 */
export function archiveWeights(root: Hdf5Group, model: KerasModelConfig | undefined): KerasStore {
  const datasets = new Map<string, Hdf5Dataset>();
  const cache = new Map<string, Hdf5Group | undefined>();
  const groupOf = (path: readonly string[]): Hdf5Group | undefined => {
    const key = JSON.stringify(path);
    if (!cache.has(key)) cache.set(key, model && findGroup(root, model, path));
    return cache.get(key);
  };
  const list = (path: readonly string[]): readonly Tensor[] => {
    const group = groupOf(path);
    return group ? variablesIn(group).map((dataset) => {
      datasets.set(dataset.path, dataset);
      return tensorOf(dataset, dataset.path);
    }) : [];
  };
  return {
    datasets,
    named: namedIn(root),
    weights: {
      find: (path, _suffix, position) => list(path)[position],
      all(path) {
        const start = groupOf(path)?.path ?? '';
        return withOwnEndings(list(path), (name) => `layer/${name.slice(start.length + 1).replace(/(^|\/)vars\//g, '$1')}`, datasets);
      },
    },
  };
}

/** float32 that Keras wrote for bfloat16 stays float32; the element type is what the file has. */
function tensorOf(dataset: Hdf5Dataset, name: string): Tensor {
  const stored = dataset.attributes.get('dtype')?.values?.[0];
  return stored === 'bfloat16' && dataset.parts.type.sizeBytes === 2 ? dataset.tensor(name, 'bfloat16') : dataset.tensor(name);
}

function findGroup(root: Hdf5Group, model: KerasModelConfig, path: readonly string[]): Hdf5Group | undefined {
  const [name, ...deeper] = path;
  const layers = containerOf(root);
  const index = model.layers.findIndex((layer) => layer.name === name);
  const config = model.layers[index];
  if (!layers || !config) return undefined;
  const byName = [...layers.children.values()].find((child) => child.kind === 'group' && nameOf(child) === name);
  const before = model.layers.slice(0, index).filter((layer) => snakeCase(layer.className) === snakeCase(config.className)).length;
  const snake = snakeCase(config.className);
  // Models made of Model are Functional ones when they are saved.
  const byClass = [snake, ...(config.model ? ['functional', 'model'] : [])]
    .map((stem) => layers.children.get(before === 0 ? stem : `${stem}_${before}`));
  const group = byName ?? byClass.find(Boolean) ?? layers.children.get(name!);
  if (group?.kind !== 'group') return undefined;
  return deeper.length === 0 ? group : config.model && findGroup(group, config.model, deeper);
}

/** Keras 2.13 called it otherwise. */
function containerOf(group: Hdf5Group): Hdf5Group | undefined {
  for (const name of ['layers', '_layer_checkpoint_dependencies']) {
    const child = group.children.get(name);
    if (child?.kind === 'group') return child;
  }
  return undefined;
}

function nameOf(group: Hdf5Group): string | undefined {
  const name = group.children.get('vars')?.attributes.get('name')?.values?.[0];
  return typeof name === 'string' ? name : undefined;
}

/** A group's own variables by number, then those of its parts: forward before backward, else by name. */
function variablesIn(group: Hdf5Group): Hdf5Dataset[] {
  const vars = hdf5At(group, 'vars');
  const own = vars?.kind === 'group' ? [...vars.children.entries()] : [];
  const order = (name: string): string => name.replace(/^forward_layer$/, '!forward').replace(/^backward_layer$/, '!later');
  // Random generators of dropout are no weights.
  const parts = [...group.children].filter(([name]) => name !== 'vars' && !name.startsWith('seed_generator')).sort(([a], [b]) => order(a) < order(b) ? -1 : 1);
  return [
    ...own.sort(([a], [b]) => Number(a) - Number(b)).map(([, child]) => child).filter(isDataset),
    ...parts.flatMap(([, child]) => child.kind === 'group' ? variablesIn(child) : []),
  ];
}

/** All weights but the optimizer's, called by the names of their layers and by what their shapes tell. */
function namedIn(root: Hdf5Group): Tensor[] {
  const named: Tensor[] = [];
  const taken = new Set<string>();
  const walk = (group: Hdf5Group, way: readonly string[]): void => {
    const vars = group.children.get('vars');
    if (vars?.kind === 'group') {
      const found = [...vars.children.entries()].filter(([, child]) => isDataset(child)).sort(([a], [b]) => Number(a) - Number(b));
      const roles = rolesOf(found.map(([, child]) => (child as Hdf5Dataset).shape));
      found.forEach(([number, child], index) => {
        let name = [...way, roles[index] ?? number].join('/');
        if (taken.has(name)) name = [group.path, roles[index] ?? number].join('/');
        taken.add(name);
        named.push(tensorOf(child as Hdf5Dataset, name));
      });
    }
    for (const [name, child] of group.children) {
      if (child.kind !== 'group' || name === 'vars' || (name === 'optimizer' && group === root)) continue;
      const own = nameOf(child) ?? name;
      walk(child, name === 'layers' || name === '_layer_checkpoint_dependencies' ? way : [...way, own]);
    }
  };
  walk(root, []);
  return named;
}

function rolesOf(shapes: readonly (readonly number[])[]): readonly string[] {
  const ranks = shapes.map((shape) => shape.length);
  if (ranks.length === 4 && ranks.every((rank) => rank === 1)) return ['gamma', 'beta', 'moving_mean', 'moving_variance'];
  if (ranks.length === 2 && ranks.every((rank) => rank === 1)) return ['gamma', 'beta'];
  if (ranks.length === 3 && ranks[0] === 2 && ranks[1] === 2) return ['kernel', 'recurrent_kernel', 'bias'];
  if (ranks.length <= 2 && ranks[0]! > 1) return ['kernel', 'bias'];
  return [];
}

function isDataset(object: Hdf5Object): object is Hdf5Dataset {
  return object.kind === 'dataset';
}

function snakeCase(className: string): string {
  return className.replace(/\W+/g, '').replace(/(.)([A-Z][a-z]+)/g, '$1_$2').replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase();
}
