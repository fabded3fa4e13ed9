import { chinese } from './strings/chinese';
import { english, type Strings } from './strings/english';

/** The texts in the language of the host: VS Code's page says it, and where it does not, the browser knows. */
export const strings: Strings = language().startsWith('zh') ? chinese : english;

function language(): string {
  // Outside a browser (tests of pure parts) there is no page to ask.
  if (typeof document === 'undefined') return 'en';
  return (document.documentElement.lang || navigator.language).toLowerCase();
}
