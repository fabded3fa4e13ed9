import { stringOf } from '../attributes';
import type { Dim, GraphNode, Shape } from '../modelGraph';
import { barriers, firstOutput, plain, range, unknownShapes } from './axes';
import { einsumGradient } from './gradients/einsum';
import type { OperatorFamily, ParticleRule, Relation, ShapeContext } from './operator';

/** Einsum: axes with the same letter go together; letters that the result does not have are summed over. */
export const einsum: OperatorFamily = {
  name: 'einsum',
  ops: ['Einsum'],

  shape(node, context) {
    const { dtype } = context.facts(node.inputs[0] ?? '');
    const terms = termsOf(node, context);
    if (!terms) return [{ dtype }];
    const sizes = sizesOf(node, context, terms.operands);
    return [{ dtype, shape: terms.output.map((label) => sizes.get(label) ?? null) }];
  },

  flow(node, context): Relation[] {
    const terms = termsOf(node, context);
    const y = firstOutput(node);
    if (!terms) return unknownShapes(node, context);
    const sizes = sizesOf(node, context, terms.operands);
    const places = new Map<string, { value: string; axis: number }[]>();
    const relations: Relation[] = [];
    const listed = [...terms.operands.map((labels, index) => ({ value: node.inputs[index]!, labels })), { value: y, labels: terms.output }];
    for (const { value, labels } of listed) {
      labels.forEach((label, axis) => {
        const size = (context.facts(value).shape ?? [])[axis];
        // What is stretched goes its own way; a diagonal picks by number.
        if (size === 1 && sizes.get(label) !== 1) return;
        if (labels.indexOf(label) !== labels.lastIndexOf(label)) relations.push(...barriers(value, [axis], 'a diagonal ties two axes'));
        places.set(label, [...(places.get(label) ?? []), { value, axis }]);
      });
    }
    for (const [first, ...others] of places.values()) {
      for (const other of others) relations.push(plain(first!.value, first!.axis, other.value, other.axis));
    }
    return relations;
  },

  /** A matrix of weights whose one letter of its own goes on into the result: as in a dense layer. */
  particles(node, context): ParticleRule | undefined {
    const terms = termsOf(node, context);
    const weight = node.inputs.findIndex((name) => context.isConstant(name));
    const labels = terms?.operands[weight];
    if (!terms || !labels || node.inputs.length !== 2 || node.inputs.every((name) => context.isConstant(name))) return undefined;
    const own = labels.filter((label) => terms.output.includes(label) && !terms.operands[1 - weight]!.includes(label));
    const [label] = own;
    if (own.length !== 1 || !labels.some((other) => !terms.output.includes(other))) return undefined;
    const axis = labels.indexOf(label!);
    const count = context.facts(node.inputs[weight]!).shape?.[axis];
    if (typeof count !== 'number') return undefined;
    return {
      kind: 'neuron', count, output: firstOutput(node), axis: terms.output.indexOf(label!),
      slices: [{ tensor: node.inputs[weight]!, axis, role: 'weight' }],
    };
  },

  macs(node, context) {
    const terms = termsOf(node, context);
    if (!terms) return undefined;
    const batch = terms.output[0];
    let macs = 1;
    for (const [label, size] of sizesOf(node, context, terms.operands)) {
      if (label === batch) continue;
      if (size === null) return undefined;
      macs *= size;
    }
    return macs;
  },

  gradient: einsumGradient,
};

/** The letters of every operand and of the result, with letters of their own for the axes behind an ellipsis. */
export function equationOf(equation: string, ranks: readonly number[]): { readonly operands: readonly (readonly string[])[]; readonly output: readonly string[] } | undefined {
  const [left = '', right] = equation.replace(/\s+/g, '').split('->');
  const parts = left.split(',');
  if (parts.length !== ranks.length || parts.some((part) => !/^[A-Za-z]*(\.\.\.[A-Za-z]*)?$/.test(part))) return undefined;
  const letters = (part: string, rank: number): string[] | undefined => {
    const [before = '', after] = part.split('...');
    const hidden = rank - before.length - (after?.length ?? 0);
    if (hidden < 0 || (after === undefined && hidden > 0)) return undefined;
    // Numbered from the end, as broadcasting aligns them.
    return [...before, ...range(0, hidden).map((index) => `.${hidden - index}`), ...after ?? ''];
  };
  const operands = parts.map((part, index) => letters(part, ranks[index]!));
  if (!operands.every((labels): labels is string[] => labels !== undefined)) return undefined;
  const hidden = [...new Set(operands.flat().filter((label) => label.startsWith('.')))].sort((a, b) => Number(b.slice(1)) - Number(a.slice(1)));
  const counts = new Map<string, number>();
  for (const label of operands.flat()) counts.set(label, (counts.get(label) ?? 0) + 1);
  const implied = [...counts].filter(([label, count]) => count === 1 && !label.startsWith('.')).map(([label]) => label).sort();
  const [before = '', after] = right?.split('...') ?? [];
  const output = right === undefined ? [...hidden, ...implied] : after === undefined ? [...before] : [...before, ...hidden, ...after];
  return { operands, output };
}

function termsOf(node: GraphNode, context: Pick<ShapeContext, 'facts'>): ReturnType<typeof equationOf> {
  const shapes = node.inputs.map((name) => context.facts(name).shape);
  return shapes.every((shape): shape is Shape => shape !== undefined)
    ? equationOf(stringOf(node, 'equation', ''), shapes.map((shape) => shape.length)) : undefined;
}

function sizesOf(node: GraphNode, context: Pick<ShapeContext, 'facts'>, operands: readonly (readonly string[])[]): ReadonlyMap<string, Dim> {
  const sizes = new Map<string, Dim>();
  operands.forEach((labels, index) => labels.forEach((label, axis) => {
    const size = context.facts(node.inputs[index]!).shape?.[axis] ?? null;
    const known = sizes.get(label);
    sizes.set(label, known === undefined || known === 1 || (known === null && size !== 1) ? size : known);
  }));
  return sizes;
}
