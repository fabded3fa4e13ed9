import type { Attribute, GraphNode } from './modelGraph';

/** Reads and makes node attributes; a missing or differently typed attribute gives the default. */
export function intOf(node: GraphNode, name: string, otherwise: number): number {
  const attribute = node.attributes[name];
  return attribute?.type === 'int' ? attribute.value : otherwise;
}

export function floatOf(node: GraphNode, name: string, otherwise: number): number {
  const attribute = node.attributes[name];
  return attribute?.type === 'float' || attribute?.type === 'int' ? attribute.value : otherwise;
}

export function intsOf(node: GraphNode, name: string): readonly number[] | undefined {
  const attribute = node.attributes[name];
  return attribute?.type === 'ints' ? attribute.value : undefined;
}

export function floatsOf(node: GraphNode, name: string): readonly number[] | undefined {
  const attribute = node.attributes[name];
  return attribute?.type === 'floats' ? attribute.value : undefined;
}

export function stringOf(node: GraphNode, name: string, otherwise: string): string {
  const attribute = node.attributes[name];
  return attribute?.type === 'string' ? attribute.value : otherwise;
}

export function hasAttribute(node: GraphNode, name: string): boolean {
  return node.attributes[name] !== undefined;
}

export function int(value: number): Attribute {
  return { type: 'int', value };
}

export function float(value: number): Attribute {
  return { type: 'float', value };
}

export function ints(value: readonly number[]): Attribute {
  return { type: 'ints', value };
}

export function string(value: string): Attribute {
  return { type: 'string', value };
}

/** The node without some attributes and with others set. */
export function withAttributes(
  node: GraphNode,
  { drop = [], set = {} }: { drop?: readonly string[]; set?: Readonly<Record<string, Attribute>> },
): GraphNode {
  const kept = Object.entries(node.attributes).filter(([name]) => !drop.includes(name));
  return { ...node, attributes: { ...Object.fromEntries(kept), ...set } };
}

/** Values that a node reads, those captured by its nested graphs included; absent optional inputs left out. */
export function readsOf(node: Pick<GraphNode, 'inputs' | 'attributes'>): readonly string[] {
  const captures = Object.values(node.attributes).flatMap((attribute) =>
    attribute.type === 'graph' ? attribute.captures : []);
  return [...node.inputs.filter(Boolean), ...captures];
}
