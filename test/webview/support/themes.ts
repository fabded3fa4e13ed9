import type { ThemeKind } from '../../../src/core/charts/chartTheme';

/** The variables and classes that VS Code sets on a webview, for three of its own themes. */
export const themes: Readonly<Record<Exclude<ThemeKind, 'highContrastLight'>, { bodyClass: string; variables: Readonly<Record<string, string>> }>> = {
  light: {
    bodyClass: 'vscode-light',
    variables: {
      foreground: '#3b3b3b', descriptionForeground: '#3b3b3bcc', 'editor-background': '#ffffff', 'editor-foreground': '#3b3b3b',
      focusBorder: '#005fb8', 'button-background': '#005fb8', 'button-foreground': '#ffffff', 'button-hoverBackground': '#0258a8',
      'button-border': '#0000001a', 'button-secondaryBackground': '#e5e5e5', 'button-secondaryForeground': '#3b3b3b',
      'button-secondaryHoverBackground': '#cccccc', 'input-background': '#ffffff', 'input-foreground': '#3b3b3b', 'input-border': '#cecece',
      'input-placeholderForeground': '#767676', 'dropdown-background': '#ffffff', 'dropdown-foreground': '#3b3b3b', 'dropdown-border': '#cecece',
      'panel-border': '#e5e5e5', 'widget-border': '#e5e5e5', 'textLink-foreground': '#005fb8', 'textBlockQuote-background': '#f8f8f8',
      'list-hoverBackground': '#f2f2f2', 'badge-background': '#cccccc', 'badge-foreground': '#3b3b3b', 'progressBar-background': '#005fb8',
      'inputValidation-errorBackground': '#f2dede', 'inputValidation-errorBorder': '#be1100', 'inputValidation-infoBackground': '#d6ecf2',
      'inputValidation-infoBorder': '#007acc', 'editorHoverWidget-background': '#f8f8f8', 'editorHoverWidget-foreground': '#3b3b3b',
      'editorHoverWidget-border': '#c8c8c8', 'editorWarning-foreground': '#bf8803', 'editorError-foreground': '#e51400',
      'panelTitle-activeForeground': '#3b3b3b', 'panelTitle-inactiveForeground': '#3b3b3b', 'panelTitle-activeBorder': '#005fb8', 'charts-blue': '#1a85ff',
    },
  },
  dark: {
    bodyClass: 'vscode-dark',
    variables: {
      foreground: '#cccccc', descriptionForeground: '#9d9d9d', 'editor-background': '#1f1f1f', 'editor-foreground': '#cccccc',
      focusBorder: '#0078d4', 'button-background': '#0078d4', 'button-foreground': '#ffffff', 'button-hoverBackground': '#026ec1',
      'button-border': '#ffffff12', 'button-secondaryBackground': '#313131', 'button-secondaryForeground': '#cccccc',
      'button-secondaryHoverBackground': '#3c3c3c', 'input-background': '#313131', 'input-foreground': '#cccccc', 'input-border': '#3c3c3c',
      'input-placeholderForeground': '#989898', 'dropdown-background': '#313131', 'dropdown-foreground': '#cccccc', 'dropdown-border': '#3c3c3c',
      'panel-border': '#2b2b2b', 'widget-border': '#313131', 'textLink-foreground': '#4daafc', 'textBlockQuote-background': '#2b2b2b',
      'list-hoverBackground': '#2a2d2e', 'badge-background': '#616161', 'badge-foreground': '#f8f8f8', 'progressBar-background': '#0078d4',
      'inputValidation-errorBackground': '#5a1d1d', 'inputValidation-errorBorder': '#be1100', 'inputValidation-infoBackground': '#063b49',
      'inputValidation-infoBorder': '#007acc', 'editorHoverWidget-background': '#202020', 'editorHoverWidget-foreground': '#cccccc',
      'editorHoverWidget-border': '#454545', 'editorWarning-foreground': '#cca700', 'editorError-foreground': '#f14c4c',
      'panelTitle-activeForeground': '#cccccc', 'panelTitle-inactiveForeground': '#9d9d9d', 'panelTitle-activeBorder': '#0078d4', 'charts-blue': '#3794ff',
    },
  },
  highContrast: {
    bodyClass: 'vscode-high-contrast',
    variables: {
      foreground: '#ffffff', descriptionForeground: '#ffffffb3', 'editor-background': '#000000', 'editor-foreground': '#ffffff',
      contrastBorder: '#6fc3df', focusBorder: '#f38518', 'button-background': '#000000', 'button-foreground': '#ffffff', 'button-border': '#6fc3df',
      'button-secondaryBackground': '#000000', 'button-secondaryForeground': '#ffffff', 'input-background': '#000000', 'input-foreground': '#ffffff',
      'input-border': '#6fc3df', 'input-placeholderForeground': '#ffffffb3', 'dropdown-background': '#000000', 'dropdown-foreground': '#ffffff',
      'dropdown-border': '#6fc3df', 'panel-border': '#6fc3df', 'textLink-foreground': '#21a6ff', 'badge-background': '#000000',
      'badge-foreground': '#ffffff', 'progressBar-background': '#6fc3df', 'inputValidation-errorBackground': '#000000',
      'inputValidation-errorBorder': '#6fc3df', 'inputValidation-infoBackground': '#000000', 'inputValidation-infoBorder': '#6fc3df',
      'editorHoverWidget-background': '#0c141f', 'editorHoverWidget-foreground': '#ffffff', 'editorHoverWidget-border': '#6fc3df',
      'editorWarning-foreground': '#ffd370', 'editorError-foreground': '#f48771', 'panelTitle-activeForeground': '#ffffff',
      'panelTitle-inactiveForeground': '#ffffff', 'panelTitle-activeBorder': '#f38518', 'charts-blue': '#3794ff',
    },
  },
};

export type ThemeName = keyof typeof themes;

/** A style sheet with a theme's variables, as a file: the page forbids inline styles. */
export function themeCss(name: ThemeName): string {
  const variables = Object.entries(themes[name].variables).map(([key, value]) => `--vscode-${key}: ${value};`);
  return `html { --vscode-font-family: system-ui, "DejaVu Sans", sans-serif; --vscode-font-size: 13px; ${variables.join(' ')} } body { background: var(--vscode-editor-background); }`;
}
