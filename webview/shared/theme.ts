import type { ChartTheme, ThemeKind } from '../../src/core/charts/chartTheme';

/** What canvas drawing needs beyond what charts need; colours as #rrggbb. */
export interface Theme extends ChartTheme {
  readonly focus: string;
  readonly selection: string;
}

/** The editor's theme as it is now, from the CSS variables that VS Code sets on the page. */
export function readTheme(): Theme {
  const kind = themeKind();
  const style = getComputedStyle(document.documentElement);
  const light = kind === 'light' || kind === 'highContrastLight';
  const colour = (names: readonly string[], otherwise: string): string => {
    for (const name of names) {
      const value = style.getPropertyValue(`--vscode-${name}`).trim();
      if (value) return opaque(value, otherwise);
    }
    return otherwise;
  };
  const foreground = colour(['foreground', 'editor-foreground'], light ? '#3b3b3b' : '#cccccc');
  const background = colour(['editor-background'], light ? '#ffffff' : '#1f1f1f');
  return {
    kind,
    foreground,
    background,
    muted: kind.startsWith('high') ? foreground : colour(['descriptionForeground'], light ? '#6b6b6b' : '#9d9d9d'),
    grid: mix(foreground, background, kind.startsWith('high') ? 0.35 : 0.12),
    focus: colour(['focusBorder'], light ? '#005fb8' : '#0078d4'),
    selection: colour(['editor-foreground', 'foreground'], foreground),
    font: style.getPropertyValue('--vscode-font-family').trim() || 'system-ui, sans-serif',
    fontSize: Number.parseFloat(style.getPropertyValue('--vscode-font-size')) || 13,
  };
}

/** Calls when the theme changes: VS Code swaps the body's classes and the variables on the root element. */
export function watchTheme(changed: (theme: Theme) => void): () => void {
  let last = JSON.stringify(readTheme());
  const observer = new MutationObserver(() => {
    const theme = readTheme();
    const now = JSON.stringify(theme);
    if (now === last) return;
    last = now;
    changed(theme);
  });
  observer.observe(document.body, { attributes: true, attributeFilter: ['class', 'data-vscode-theme-kind'] });
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['style', 'class'] });
  return () => observer.disconnect();
}

function themeKind(): ThemeKind {
  const classes = document.body.classList;
  // A high-contrast light theme carries both high-contrast classes.
  if (classes.contains('vscode-high-contrast-light')) return 'highContrastLight';
  if (classes.contains('vscode-high-contrast')) return 'highContrast';
  return classes.contains('vscode-light') ? 'light' : 'dark';
}

let resolver: CanvasRenderingContext2D | null | undefined;

/** Any CSS colour as #rrggbb (the canvas knows how to read them), or `otherwise` when it is none. */
function opaque(value: string, otherwise: string): string {
  resolver ??= document.createElement('canvas').getContext('2d');
  if (!resolver) return otherwise;
  resolver.fillStyle = otherwise;
  resolver.fillStyle = value;
  const read = resolver.fillStyle;
  if (read.startsWith('#')) return read;
  const parts = /rgba?\(\s*(\d+),\s*(\d+),\s*(\d+)/.exec(read);
  return parts ? hex(parts.slice(1, 4).map(Number)) : otherwise;
}

function mix(colour: string, other: string, share: number): string {
  const [a, b] = [colour, other].map((value) => [1, 3, 5].map((at) => Number.parseInt(value.slice(at, at + 2), 16)));
  return hex(a!.map((value, i) => Math.round(value * share + b![i]! * (1 - share))));
}

function hex(rgb: readonly number[]): string {
  return `#${rgb.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}
