import type { ColumnData } from '../../src/compute/protocol';
import { rowCountOf } from '../../src/core/charts/particleLayers';
import type { ProtocolClient } from '../shared/protocolClient';
import type { Store } from './state';

/** Brings in the ranges of large columns that somebody looks at; columns that came whole need nothing. */
export interface ColumnPulls {
  /** Says that rows [from, to) of a column are shown; their values arrive as a change of `columns`. */
  need(name: string, from?: number, to?: number): void;
}

export function columnPulls(store: Store, client: Pick<ProtocolClient, 'host'>): ColumnPulls {
  const pulled = new Map<string, Pulled>();
  let frame = 0;
  const arrived = new Set<string>();
  // Several ranges that come in one after another are one change.
  const publish = (name: string): void => {
    arrived.add(name);
    if (frame) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      const columns = new Map(store.state.columns);
      for (const known of arrived) {
        const column = columns.get(known);
        const mine = pulled.get(known);
        if (column && mine) columns.set(known, { ...column, values: mine.values });
      }
      arrived.clear();
      store.set({ columns });
    });
  };
  const request = async (name: string, mine: Pulled, from: number, to: number): Promise<void> => {
    try {
      const values = await client.host('values', { column: name, from: from * chunkRows, to: Math.min(mine.values.length, to * chunkRows) });
      if (pulled.get(name) !== mine) return;
      mine.values.set(values, from * chunkRows);
      publish(name);
    } catch (error) {
      mine.chunks.fill(0, from, to);
      store.set({ message: { level: 'error', text: error instanceof Error ? error.message : String(error) } });
    }
  };
  return {
    need(name, from = 0, to = Infinity) {
      const column = store.state.columns.get(name);
      if (!column) return;
      const rows = rowCountOf(store.state.layers);
      let mine = pulled.get(name);
      const head = isHead(column, rows);
      if (!head && column.values !== mine?.values) return;
      // Another head is a new column, or new numbers for a known one.
      if (!mine || (head && mine.head !== column)) pulled.set(name, (mine = { head: column, values: new Float32Array(rows).fill(NaN), chunks: new Uint8Array(Math.ceil(rows / chunkRows)) }));
      const last = Math.min(mine.chunks.length, Math.ceil(to / chunkRows));
      for (let chunk = Math.floor(from / chunkRows); chunk < last; chunk++) {
        if (mine.chunks[chunk]) continue;
        let end = chunk;
        while (end < last && end < chunk + mostChunks && !mine.chunks[end]) mine.chunks[end++] = 1;
        void request(name, mine, chunk, end);
        chunk = end - 1;
      }
      if (head) publish(name);
    },
  };
}

interface Pulled {
  readonly head: ColumnData;
  readonly values: Float32Array;
  /** 1 where a chunk was asked for. */
  readonly chunks: Uint8Array;
}

/** 128 kB: little enough for one row of every column, large enough for a million rows in a few messages. */
const chunkRows = 32_768;
const mostChunks = 8;

function isHead(column: ColumnData, rows: number): boolean {
  return column.values.length === 0 && rows > 0;
}
