import { bars } from './bars';
import { columnByLayer } from './columnByLayer';
import { costByLayer } from './costByLayer';
import { distribution } from './distribution';
import { lines } from './lines';
import { points } from './points';
import { scatter } from './scatter';

/** Every chart there is; a new one is one file and one line here. */
export const charts = {
  distribution,
  scatter,
  costByLayer,
  columnByLayer,
  bars,
  lines,
  points,
} as const;
