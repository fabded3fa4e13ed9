import type { ProtocolClient } from '../shared/protocolClient';
import type { Tooltip } from '../shared/tooltip';
import type { ColumnPulls } from './columnPulls';
import type { Store } from './state';

/** What every view of the panel gets. */
export interface PanelContext {
  readonly store: Store;
  readonly client: ProtocolClient;
  readonly tooltip: Tooltip;
  readonly pulls: ColumnPulls;
}

/** A part of the panel; `dispose` undoes what it watches and observes. */
export interface View {
  readonly element: HTMLElement;
  dispose(): void;
}

/** Shows a failed call in the banner; every call ends here or in its own view. */
export function reportTo(store: Store): (error: unknown) => void {
  return (error) => store.set({ message: { level: 'error', text: error instanceof Error ? error.message : String(error) } });
}
