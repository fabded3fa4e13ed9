import type { LayerDefinition, Link, Span } from '../core/source/definition';

/** An edit of a text: `length` characters at `offset` became `inserted` others. */
export interface TextChange {
  readonly offset: number;
  readonly length: number;
  readonly inserted: number;
}

/** Links as they stand after an edit, until the text is read again: those whose place was deleted are gone. */
export function moveLinks(links: readonly Link[], change: TextChange): readonly Link[] {
  const moved = new Map<LayerDefinition, LayerDefinition | undefined>();
  return links.flatMap((link) => {
    const { definition } = link;
    if (!moved.has(definition)) {
      const [span, anchor] = [moveSpan(definition.span, change), moveSpan(definition.anchor, change)];
      moved.set(definition, span && anchor ? { ...definition, span, anchor } : undefined);
    }
    const there = moved.get(definition);
    return there ? [{ ...link, definition: there }] : [];
  });
}

/** A span after an edit; undefined when all of it was replaced. */
export function moveSpan({ start, end }: Span, { offset, length, inserted }: TextChange): Span | undefined {
  const by = inserted - length;
  const last = offset + length;
  if (last <= start) return { start: start + by, end: end + by };
  if (offset >= end) return { start, end };
  if (offset <= start && last >= end) return undefined;
  // Partly inside: what is left of it, with what was written into it.
  return { start: Math.min(start, offset), end: Math.max(end, last) + by };
}
