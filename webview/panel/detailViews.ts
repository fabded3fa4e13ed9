import { strings } from '../shared/strings';
import { layerView } from './layerView';
import type { PanelContext, View } from './panelContext';
import { particleView } from './particleView';
import type { PanelState } from './state';
import { suggestionsView } from './suggestionsView';

/** A tab of the panel. */
export interface DetailView {
  readonly id: string;
  title(state: PanelState): string;
  create(context: PanelContext): View;
}

/** Every tab there is; a new one is one file and one line here. */
export const detailViews: readonly DetailView[] = [
  { id: 'layer', title: () => strings.layer, create: layerView },
  { id: 'particle', title: () => strings.particle, create: particleView },
  { id: 'suggestions', title: ({ suggestions }) => titleWithCount(suggestions?.suggestions.length), create: suggestionsView },
];

function titleWithCount(count: number | undefined): string {
  return count === undefined ? strings.suggestions : `${strings.suggestions} (${count})`;
}
