type Child = Node | string | number | null | undefined | false;
type Properties<T> = Partial<Omit<T, 'style' | 'dataset' | 'classList' | 'attributes'>> & {
  /** CSS classes, space separated. */
  class?: string;
  /** Attributes as they are written in HTML: aria-label, data-x, role. */
  attributes?: Readonly<Record<string, string | number | boolean | undefined>>;
  on?: { readonly [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };
};

/**
 * Makes an element. Strings become text nodes, never HTML: a layer may be called `<img onerror=…>`. Styles live in the
 * style sheet, because the content security policy refuses style attributes.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties<HTMLElementTagNameMap[K]> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  const { class: className, attributes, on, ...rest } = properties;
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes ?? {})) setAttribute(element, name, value);
  for (const [name, listener] of Object.entries(on ?? {})) element.addEventListener(name, listener as EventListener);
  Object.assign(element, rest);
  append(element, children);
  return element;
}

/** Replaces what an element holds. */
export function fill(element: Element, ...children: readonly Child[]): void {
  element.replaceChildren();
  append(element, children);
}

/** Sets or removes: true is an empty attribute, false and undefined none. */
export function setAttribute(element: Element, name: string, value: string | number | boolean | undefined): void {
  // ARIA wants the words true and false.
  if (value === undefined || (value === false && !name.startsWith('aria-'))) element.removeAttribute(name);
  else element.setAttribute(name, value === true && !name.startsWith('aria-') ? '' : String(value));
}

let lastId = 0;

/** An id for `aria-labelledby` and labels, unique on the page. */
export function uniqueId(prefix: string): string {
  return `${prefix}-${++lastId}`;
}

function append(element: Element, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(typeof child === 'number' ? String(child) : child);
  }
}
