import type { LayerDefinition, LayerInstance, Link } from './definition';
import { familyOf } from './layerFamily';
import { compatible, segmentsOf, sizeConflict } from './layerMatch';
import type { LinkableLayer } from './linkDefinitions';

interface Member {
  readonly definition: LayerDefinition;
  readonly instance: LayerInstance;
  /** Its path in parts; '*' stands for any number. */
  readonly segments: readonly string[];
}

interface Named {
  readonly layer: LinkableLayer;
  readonly segments: readonly string[];
}

/**
 * Links by what following the code gave: of all models that the file can make, the one whose paths and sizes fit the
 * model best. Paths are compared part by part, after what a wrapper or an exporter put in front; layers whose names Keras counts
 * are linked in their order when no name contradicts it.
 */
export function linkInstances(definitions: readonly LayerDefinition[], layers: readonly LinkableLayer[]): Link[] {
  const known = new Map<string, string[]>();
  const models = new Map<string, Member[]>();
  for (const definition of definitions) {
    for (const instance of definition.instances ?? []) {
      const member: Member = { definition, instance, segments: instance.path === undefined ? [] : splitPath(instance.path, known) };
      const list = models.get(instance.model);
      if (list) list.push(member);
      else models.set(instance.model, [member]);
    }
  }
  const named = layers.map((layer): Named => ({ layer, segments: segmentsOf(layer.name, known) }));
  const tried = [...models.values()].map((members) => {
    members.sort((a, b) => a.instance.place - b.instance.place);
    const links = members.some(({ definition }) => definition.framework === 'keras') ? linkCounted(members, named) : linkPaths(members, named);
    const score = links.reduce((sum, { confidence }) => sum + confidence, 0) - 0.01 * Math.max(0, members.length - links.length);
    return { links, score };
  }).filter(({ links }) => links.length > 0).sort((a, b) => b.score - a.score);
  const [best, ...others] = tried;
  if (!best) return [];
  const rivals = others.filter(({ score }) => score >= best.score - 1e-9).flatMap(({ links }) => links);
  return best.links.map((link) => {
    const rival = rivals.find((other) => other.layer === link.layer && other.definition !== link.definition);
    return rival ? { ...link, confidence: Math.min(link.confidence, 0.5), reason: `${link.reason}; another definition makes the same` } : link;
  });
}

function linkPaths(members: readonly Member[], layers: readonly Named[]): Link[] {
  const paths = new Map<string, Named>();
  for (const layer of layers) paths.set(layer.segments.join('.'), layer);
  let best = linkBehind(members, layers, paths, [], 0);
  if (best.length >= members.length * 0.5) return best;
  for (const prefix of prefixesOf(layers.map(({ segments }) => segments))) {
    const links = linkBehind(members, layers, paths, prefix, 0);
    if (links.length > best.length) best = links;
  }
  for (const cut of [1, 2]) {
    const links = linkBehind(members, layers, paths, [], cut);
    if (links.length > best.length) best = links;
  }
  return best;
}

/** @param prefix what the model's names have in front. @param cut how many parts the code's paths have in front. */
function linkBehind(
  members: readonly Member[], layers: readonly Named[], paths: ReadonlyMap<string, Named>, prefix: readonly string[], cut: number,
): Link[] {
  const linked = new Set<string>();
  return members.flatMap(({ definition, instance, segments }): Link[] => {
    const path = [...prefix, ...segments.slice(cut)];
    if (path.length === prefix.length || segments.length === 0) return [];
    const open = path.includes('*');
    const exact = paths.get(path.join('.'));
    const found = open ? layers.filter((layer) => fitsPattern(layer.segments, path)) : exact ? [exact] : [];
    return found.flatMap(({ layer }): Link[] => {
      if (linked.has(layer.name) || !compatible(definition, layer)) return [];
      linked.add(layer.name);
      const same = layer.name === instance.path;
      const confidence = same ? 0.99 : open || prefix.length > 0 || cut > 0 ? 0.93 : 0.96;
      const words = same ? (segments.length === 1 ? 'same name' : 'same path') : open ? 'the path that its loop gives' : prefix.length > 0 || cut > 0 ? 'same path inside a part of the model' : 'same path, written differently';
      const conflict = sizeConflict(definition, layer, instance);
      return [{
        definition, layer: layer.name, instance,
        ...(conflict ? { confidence: 0.5, reason: `${words}, but ${conflict}` } : { confidence, reason: words }),
      }];
    });
  });
}

/** Keras: names that are given, and between them the order in which layers are made. */
function linkCounted(members: readonly Member[], layers: readonly Named[]): Link[] {
  const open = layers.filter(({ layer }) => familyOf(layer.type) !== undefined || members.some(({ instance }) => instance.path === layer.name));
  const given = new Set(members.filter(({ instance }) => instance.counted !== true && instance.path !== undefined).map(({ segments }) => segments.join('')));
  const fits = (member: Member, { layer, segments }: Named): boolean => {
    if (!compatible(member.definition, layer, true) || sizeConflict(member.definition, layer, member.instance)) return false;
    const own = segments.join('');
    if (member.instance.path === undefined) return true;
    // A name that was given is the layer's name; a name that is counted is not one that was given to another.
    return member.instance.counted ? !given.has(own) : own === member.segments.join('') || own.endsWith(member.segments.join(''));
  };
  if (members.length * open.length > 4_000_000) return [];
  const byGiven = namedPairs(members, open, fits);
  const done = new Set<unknown>(byGiven.flat());
  const pairs = longestCommon(members.filter((one) => !done.has(one)), open.filter((one) => !done.has(one)), fits);
  const complete = pairs.length + byGiven.length === Math.min(members.length, open.length);
  const places = new Map(open.map((one, index) => [one, index]));
  return [...byGiven, ...pairs].map(([member, found]) => {
    const { definition, instance, segments } = member;
    const same = found.segments.join('') === segments.join('');
    const sized = definition.sizes.length === 0 || definition.sizes.every(({ argument }) => instance.sizes[argument] !== undefined);
    const crosses = byGiven.some(([other, layer]) => (other.instance.place - instance.place) * (places.get(layer)! - places.get(found)!) < 0);
    const sure = same && instance.counted !== true;
    const confidence = sure ? 0.99 : (same && sized ? 0.9 : sized && complete ? 0.8 : sized ? 0.65 : 0.5) - (crosses ? 0.3 : 0);
    const reason = same ? (instance.counted ? 'the name that Keras gives it, and its type and size' : 'same name')
      : `same type and size, and the same place in the order${crosses ? ', although linked layers around it stand in another order' : ''}`;
    return { definition, instance, layer: found.layer.name, confidence: Math.round(confidence * 100) / 100, reason };
  });
}

/** Layers with a name that the code gives, wherever they stand in the order. */
function namedPairs(members: readonly Member[], layers: readonly Named[], fits: (one: Member, other: Named) => boolean): [Member, Named][] {
  const byName = new Map(layers.map((one) => [one.segments.join(''), one]));
  const taken = new Set<Named>();
  return members.flatMap((member): [Member, Named][] => {
    if (member.instance.counted || member.instance.path === undefined) return [];
    const found = byName.get(member.segments.join(''));
    if (!found || taken.has(found) || !fits(member, found)) return [];
    taken.add(found);
    return [[member, found]];
  });
}

/** The longest common subsequence of two lists. */
function longestCommon<A, B>(a: readonly A[], b: readonly B[], fits: (one: A, other: B) => boolean): [A, B][] {
  const columns = b.length + 1;
  const lengths = new Uint32Array((a.length + 1) * columns);
  const same = new Uint8Array(a.length * columns);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const skip = Math.max(lengths[(i + 1) * columns + j]!, lengths[i * columns + j + 1]!);
      const both = fits(a[i]!, b[j]!);
      if (both) same[i * columns + j] = 1;
      lengths[i * columns + j] = both ? Math.max(skip, 1 + lengths[(i + 1) * columns + j + 1]!) : skip;
    }
  }
  const pairs: [A, B][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (same[i * columns + j] && lengths[i * columns + j] === 1 + lengths[(i + 1) * columns + j + 1]!) pairs.push([a[i++]!, b[j++]!]);
    else if (lengths[(i + 1) * columns + j]! >= lengths[i * columns + j + 1]!) i++;
    else j++;
  }
  return pairs;
}

function prefixesOf(paths: readonly (readonly string[])[]): (readonly string[])[] {
  const found = new Map<string, readonly string[]>();
  for (const path of paths) {
    for (let length = 1; length < Math.min(path.length, 4) && found.size < 60; length++) found.set(path.slice(0, length).join('.'), path.slice(0, length));
  }
  return [...found.values()];
}

function fitsPattern(path: readonly string[], pattern: readonly string[]): boolean {
  return path.length === pattern.length && pattern.every((part, index) => part === path[index] || (part === '*' && /^\d+$/.test(path[index]!)));
}

function splitPath(path: string, known: Map<string, string[]>): string[] {
  return path.split('.').flatMap((part) => (part === '*' ? [part] : segmentsOf(part, known)));
}
