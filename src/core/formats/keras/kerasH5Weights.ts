import type { Tensor } from '../../graph/tensor';
import { datasetsIn, hdf5At, type Hdf5Attribute, type Hdf5Group } from '../containers/hdf5';
import type { Hdf5Dataset } from '../containers/hdf5Dataset';
import { endsWith, weightsByName, type KerasWeights } from './namedWeights';

/** Weights of a Keras file, found for its layers; tensors are called by their datasets' paths. */
export interface KerasStore {
  readonly weights: KerasWeights;
  /** Every weight under a name that says its layer and its role, for files without a layer graph. */
  readonly named: readonly Tensor[];
  /** By the names that the tensors of `weights` have. */
  readonly datasets: ReadonlyMap<string, Hdf5Dataset>;
}

/**
 * The layout of .h5 files: a group for each layer of the model, whose attribute `weight_names` lists its weights in
 * Keras's order, those of nested models under their outermost one.
 */
export function h5Weights(group: Hdf5Group): KerasStore {
  const datasets = new Map<string, Hdf5Dataset>();
  const layers = new Map<string, { readonly list: readonly Tensor[]; readonly byName: KerasWeights }>();
  const named: Tensor[] = [];
  const groups = [...new Set([...textsOf(group.attributes, 'layer_names'), ...group.children.keys()])];
  for (const name of groups) {
    const layer = group.children.get(name) ?? hdf5At(group, name);
    if (layer?.kind !== 'group') continue;
    const listed = textsOf(layer.attributes, 'weight_names').map((weight) => hdf5At(layer, weight));
    const found = listed.length ? listed.filter((item): item is Hdf5Dataset => item?.kind === 'dataset') : datasetsIn(layer);
    const list = found.map((dataset) => {
      datasets.set(dataset.path, dataset);
      return dataset.tensor(dataset.path);
    });
    layers.set(name, { list, byName: weightsByName(list) });
    for (const tensor of list) named.push({ ...tensor, name: plainName(tensor.name.slice(layer.path.length + 1), name) });
  }
  return {
    datasets, named: unique(named),
    weights: {
      find(path, suffix, position) {
        const layer = layers.get(path[0] ?? '');
        if (!layer) return undefined;
        const exact = layer.byName.find(path, suffix, position);
        if (exact || path.length > 1) return exact;
        const ending = layer.list.filter(({ name }) => endsWith(name.replace(/:\d+$/, '').split('/'), suffix));
        // Keras 1 called a kernel conv_W: what remains is the order.
        return ending.length === 1 ? ending[0] : layer.list[position];
      },
      all: (path) => {
        const layer = layers.get(path[0] ?? '');
        if (!layer) return [];
        const own = path.length > 1 ? layer.byName.all(path) : layer.list;
        return withOwnEndings(own, (name) => plainName(name, path[path.length - 1] ?? ''), datasets);
      },
    },
  };
}

/** Texts of an attribute, which Keras cuts into pieces (`weight_names0`, ...) when it is long. */
export function textsOf(attributes: ReadonlyMap<string, Hdf5Attribute>, name: string): readonly string[] {
  const whole = attributes.get(name)?.values;
  const values = [...(whole ?? [])];
  for (let piece = 0; attributes.has(`${name}${piece}`); piece++) values.push(...(attributes.get(`${name}${piece}`)!.values ?? []));
  return values.filter((value): value is string => typeof value === 'string');
}

/**
 * Layers that nothing is known about name their weights by the last part, which several may share (a `kernel` for each
 * of a layer's parts): then everything behind the layer's own name is that part.
 */
export function withOwnEndings(tensors: readonly Tensor[], nameOf: (name: string) => string, datasets: Map<string, Hdf5Dataset>): readonly Tensor[] {
  const endings = tensors.map(({ name }) => name.split('/').pop()!);
  if (new Set(endings).size === endings.length) return tensors;
  return tensors.map((tensor) => {
    const name = `${tensor.name.slice(0, tensor.name.lastIndexOf('/') + 1)}${nameOf(tensor.name).split('/').slice(1).join('.')}`;
    datasets.set(name, datasets.get(tensor.name)!);
    return { ...tensor, name };
  });
}

/** 'dense/model/dense/kernel:0' becomes 'dense/kernel'; what does not repeat the layer keeps all its parts. */
function plainName(name: string, layer: string): string {
  const parts = name.replace(/:\d+$/, '').split('/');
  const at = parts.lastIndexOf(layer);
  const rest = at >= 0 && at < parts.length - 1 ? parts.slice(at + 1) : parts;
  return [layer, ...rest].join('/');
}

function unique(tensors: readonly Tensor[]): Tensor[] {
  const counts = new Map<string, number>();
  return tensors.map((tensor) => {
    const count = counts.get(tensor.name) ?? 0;
    counts.set(tensor.name, count + 1);
    return count === 0 ? tensor : { ...tensor, name: `${tensor.name}_${count}` };
  });
}
