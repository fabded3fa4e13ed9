import type { LayerDefinition, Link, LinkCorrection } from './definition';
import { findByKey } from './definitionKey';
import { compatible, segmentsOf, sizeConflict } from './layerMatch';
import { familyOf, sameFamily } from './layerFamily';
import { linkInstances } from './linkInstances';

/** A layer of the model, as far as linking looks at it. */
export interface LinkableLayer {
  readonly name: string;
  /** The file's own word: 'Conv', 'Conv2D', 'nn.Linear'. */
  readonly type: string;
  /** Number of its particles, when it has any. */
  readonly width?: number;
  /** Its weights' shapes, in any layout: they tell which of several layers an input size belongs to. */
  readonly tensors?: readonly { readonly shape: readonly number[] }[];
}

/**
 * Which layer of the model each definition makes: first as the user said, then by the paths that following the code
 * gives, then by name (exactly, then without regard to case and separators, then as the end of a path), then by order, type
 * and size. A definition in a class that is used several times has several links; a layer has at most one. Links that
 * code and model contradict keep a low confidence.
 *
 * @param corrections what the user said; of a definition that is no longer in the file it says nothing
 */
export function linkDefinitions(
  definitions: readonly LayerDefinition[], layers: readonly LinkableLayer[], corrections: readonly LinkCorrection[] = [],
): Link[] {
  const corrected = new Map(corrections.flatMap((one): [string, Link | undefined][] => {
    const definition = one.definition && findByKey(definitions, one.definition);
    if (one.definition && !definition) return [];
    return [[one.layer, definition && { definition, layer: one.layer, confidence: 1, reason: 'as you said' }]];
  }));
  const said = [...corrected.values()].filter((link) => link !== undefined && layers.some((layer) => layer.name === link.layer)) as Link[];
  return [...said, ...findLinks(definitions, layers.filter((layer) => !corrected.has(layer.name)))]
    .sort((a, b) => a.definition.span.start - b.definition.span.start || a.layer.localeCompare(b.layer));
}

function findLinks(allDefinitions: readonly LayerDefinition[], allLayers: readonly LinkableLayer[]): Link[] {
  const followed = linkInstances(allDefinitions, allLayers);
  const done = new Set(followed.map((link) => link.layer));
  const layers = allLayers.filter((layer) => !done.has(layer.name));
  const used = new Set(followed.map((link) => link.definition));
  const definitions = allDefinitions.filter((definition) => !used.has(definition));
  const known = new Map<string, string[]>();
  const candidates = definitions.flatMap((definition) => layers.flatMap((layer) => byName(definition, layer, known)));
  const weightOfOwner = new Map<string | undefined, number>();
  for (const { link } of candidates) {
    const owner = link.definition.owner;
    weightOfOwner.set(owner, (weightOfOwner.get(owner) ?? 0) + link.confidence);
  }
  candidates.sort((a, b) =>
    b.link.confidence - a.link.confidence ||
    (weightOfOwner.get(b.link.definition.owner) ?? 0) - (weightOfOwner.get(a.link.definition.owner) ?? 0));

  const links: Link[] = [];
  const linkedLayers = new Map<string, Link>();
  const linkedDefinitions = new Set<LayerDefinition>();
  for (const { link, level } of candidates) {
    if (linkedLayers.has(link.layer)) continue;
    // Only the end of a path may stand for several layers: a block's class that is used again and again.
    if (linkedDefinitions.has(link.definition) && level !== 'suffix') continue;
    const rival = candidates.find(({ link: other, level: otherLevel }) =>
      other.layer === link.layer && other.definition !== link.definition && otherLevel === level && other.confidence === link.confidence);
    const final = rival ? { ...link, confidence: Math.min(link.confidence, 0.5), reason: `${link.reason}; another definition has that name as well` } : link;
    links.push(final);
    linkedLayers.set(link.layer, final);
    linkedDefinitions.add(link.definition);
  }
  links.push(...byOrder(
    definitions.filter((definition) => !linkedDefinitions.has(definition)),
    layers.filter((layer) => !linkedLayers.has(layer.name)),
    [...followed, ...links],
    allDefinitions,
    allLayers,
  ));
  return [...followed, ...shareConfidence(links)];
}

type Level = 'exact' | 'format' | 'suffix';

function byName(definition: LayerDefinition, layer: LinkableLayer, known: Map<string, string[]>): { link: Link; level: Level }[] {
  if (!definition.name || !compatible(definition, layer)) return [];
  const level = nameLevel(definition.name, layer.name, known);
  if (!level) return [];
  const base = { exact: 0.99, format: 0.95, suffix: 0.85 }[level] - (definition.named ? 0 : 0.05);
  const words = { exact: 'same name', format: 'same name, written differently', suffix: 'the path ends with the name' }[level];
  const conflict = sizeConflict(definition, layer);
  const link: Link = conflict
    ? { definition, layer: layer.name, confidence: Math.min(base, 0.5), reason: `${words}, but ${conflict}` }
    : { definition, layer: layer.name, confidence: base, reason: words };
  return [{ link, level }];
}

function nameLevel(written: string, inModel: string, known: Map<string, string[]>): Level | undefined {
  if (written === inModel) return 'exact';
  const [a, b] = [segmentsOf(written, known), segmentsOf(inModel, known)];
  if (a.join('.') === b.join('.')) return 'format';
  if (a.join('') === b.join('')) return 'format';
  const [short, long] = a.length <= b.length ? [a, b] : [b, a];
  // '0' or 'x' at the end of a path says nothing.
  if (short.join('').length < 2 || short.every(isNumber)) return undefined;
  return short.every((segment, index) => segment === long[long.length - short.length + index]) ? 'suffix' : undefined;
}

function isNumber(segment: string): boolean {
  return segment !== '' && Number.isInteger(Number(segment));
}

/** Aligns what names could not link: definitions and layers of one family, in order, as many as fit by their sizes. */
function byOrder(
  definitions: readonly LayerDefinition[],
  layers: readonly LinkableLayer[],
  linked: readonly Link[],
  allDefinitions: readonly LayerDefinition[],
  allLayers: readonly LinkableLayer[],
): Link[] {
  const open = layers.filter((layer) => familyOf(layer.type) !== undefined);
  // Another model's code in the same file is not what is left of this one.
  const owners = new Set(linked.map((link) => link.definition.owner));
  const own = linked.length > 0 ? definitions.filter((definition) => owners.has(definition.owner)) : mainOwner(definitions, open);
  const places = new Map(allDefinitions.map((definition, index) => [definition, index]));
  const layerPlaces = new Map(allLayers.map((layer, index) => [layer.name, index]));
  const pairs = align(own, open);
  return pairs.map(([definition, layer]) => {
    const known = definition.sizes.some((size) => size.role === 'width' && size.value !== undefined) && layer.width !== undefined;
    const crosses = linked.some((link) => {
      const order = (places.get(link.definition) ?? 0) - (places.get(definition) ?? 0);
      const layerOrder = (layerPlaces.get(link.layer) ?? 0) - (layerPlaces.get(layer.name) ?? 0);
      return order * layerOrder < 0;
    });
    const alone = countFamily(own, definition, (one) => one.type) === countFamily(open, definition, (one) => one.type);
    let confidence = known ? (alone ? 0.8 : 0.6) : alone ? 0.6 : 0.4;
    if (crosses) confidence -= 0.3;
    if (definition.named && definition.framework !== 'pytorch') confidence -= 0.2;
    const size = known ? ' and size' : '';
    return {
      definition, layer: layer.name, confidence: Math.max(0.1, Math.round(confidence * 100) / 100),
      reason: `same type${size}, and the same place in the order${crosses ? ', although linked layers around it stand in another order' : ''}`,
    };
  });
}

/** The class or function whose definitions fit most of the layers. */
function mainOwner(definitions: readonly LayerDefinition[], layers: readonly LinkableLayer[]): readonly LayerDefinition[] {
  let best: readonly LayerDefinition[] = [];
  let most = 0;
  for (const owner of new Set(definitions.map((definition) => definition.owner))) {
    const own = definitions.filter((definition) => definition.owner === owner);
    const fits = align(own, layers).length;
    if (fits > most) [best, most] = [own, fits];
  }
  return best;
}

/** The longest common subsequence of definitions and layers that are compatible in type and size. */
function align(definitions: readonly LayerDefinition[], layers: readonly LinkableLayer[]): [LayerDefinition, LinkableLayer][] {
  const columns = layers.length + 1;
  // A file with thousands of definitions is no model: the table stays small.
  if (definitions.length * layers.length > 4_000_000) return [];
  const lengths = new Uint32Array((definitions.length + 1) * columns);
  const fits = (i: number, j: number) => compatible(definitions[i]!, layers[j]!, true) && !sizeConflict(definitions[i]!, layers[j]!);
  for (let i = definitions.length - 1; i >= 0; i--) {
    for (let j = layers.length - 1; j >= 0; j--) {
      const skip = Math.max(lengths[(i + 1) * columns + j]!, lengths[i * columns + j + 1]!);
      lengths[i * columns + j] = fits(i, j) ? Math.max(skip, 1 + lengths[(i + 1) * columns + j + 1]!) : skip;
    }
  }
  const pairs: [LayerDefinition, LinkableLayer][] = [];
  for (let i = 0, j = 0; i < definitions.length && j < layers.length; ) {
    if (fits(i, j) && lengths[i * columns + j] === 1 + lengths[(i + 1) * columns + j + 1]!) pairs.push([definitions[i++]!, layers[j++]!]);
    else if (lengths[(i + 1) * columns + j]! >= lengths[i * columns + j + 1]!) i++;
    else j++;
  }
  return pairs;
}

function countFamily<T>(list: readonly T[], definition: LayerDefinition, typeOf: (one: T) => string): number {
  const family = familyOf(definition.type);
  return list.filter((one) => {
    const other = familyOf(typeOf(one));
    return family && other && sameFamily(family, other);
  }).length;
}

/** One definition that stands for several layers says so, with less confidence. */
function shareConfidence(links: readonly Link[]): Link[] {
  return links.map((link) => {
    const count = links.filter((other) => other.definition === link.definition).length;
    if (count === 1) return link;
    return { ...link, confidence: Math.min(link.confidence, 0.7), reason: `${link.reason}; the code makes ${count} layers of it` };
  });
}
