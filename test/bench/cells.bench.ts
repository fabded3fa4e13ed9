import type { Page } from 'playwright-core';
import { largeModel } from '../webview/support/largeModel';
import { Pages } from '../webview/support/pages';
import { median, milliseconds, type Bench, type Row } from './measure';

const cells = 1_000_000;
const frames = 120;

/** The particle map of a million cells in Chromium without a GPU: how long until it is there, and how long a frame takes. */
export const bench: Bench = {
  title: `Particle map of ${cells.toLocaleString('en')} cells in Chromium without a GPU`,
  async run() {
    const pages = await Pages.start();
    try {
      const rows: Row[] = [];
      const firsts: number[] = [];
      for (let round = 0; round < 3; round++) {
        const page = await open(pages);
        firsts.push(await page.evaluate(() => Number((window as unknown as { firstPaint: number }).firstPaint)));
        if (round < 2) await page.context().close();
        else rows.push(...await gestures(page));
      }
      const first: Row = { what: 'first paint of the map, from the start of the page', ours: milliseconds(median(firsts)), against: 'a second', theirs: '1.00 s', ratio: share(median(firsts), 1000) };
      return [first, ...rows];
    } finally {
      await pages.stop();
    }
  },
};

async function open(pages: Pages): Promise<Page> {
  const { page } = await pages.panel({ snapshot: largeModel(cells, 100), weights: {}, activations: {} }, { beforePage: notePaint });
  await page.waitForFunction(() => (window as unknown as { firstPaint?: number }).firstPaint !== undefined);
  await page.waitForTimeout(1500);
  return page;
}

/** Runs in the page: notes when the map first shows a coloured cell (blue and green beyond the greys of the editor). */
function notePaint(): void {
  const look = (): void => {
    const canvas = document.querySelector<HTMLCanvasElement>('.heatmap-canvas');
    if (canvas && canvas.width > 300) {
      const { data } = canvas.getContext('2d')!.getImageData(0, 30, 200, 60);
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3]! > 200 && Math.abs(data[i]! - data[i + 1]!) > 30) {
          (window as unknown as { firstPaint: number }).firstPaint = performance.now();
          return;
        }
      }
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}

async function gestures(page: Page): Promise<Row[]> {
  const still = await frameTimes(page, 'still');
  const rows = [row('an idle frame', still, still)];
  rows.push(row('pan by wheel', await frameTimes(page, 'pan'), still));
  rows.push(row('zoom in and out, magnified', await frameTimes(page, 'zoom'), still));
  await page.getByRole('button', { name: 'Show everything' }).click({ force: true });
  await page.waitForTimeout(500);
  rows.push(row('zoom out to all cells in sight, and back', await frameTimes(page, 'dense'), still));
  return rows;
}

/** Milliseconds between frames while a gesture goes on, one event a frame. */
function frameTimes(page: Page, gesture: 'still' | 'pan' | 'zoom' | 'dense'): Promise<number[]> {
  return page.evaluate(async ({ gesture, frames }) => {
    const grid = document.querySelector('.heatmap-grid')!;
    const box = grid.getBoundingClientRect();
    const wheel = (deltaY: number, ctrlKey: boolean) =>
      grid.dispatchEvent(new WheelEvent('wheel', { deltaY, ctrlKey, clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true, cancelable: true }));
    const times: number[] = [];
    let last = await new Promise<number>(requestAnimationFrame);
    for (let frame = 0; frame < frames; frame++) {
      const half = frame < frames / 2;
      if (gesture === 'pan') wheel(half ? 240 : -240, false);
      if (gesture === 'zoom') wheel(half ? -20 : 20, true);
      if (gesture === 'dense') wheel(half ? -60 : 60, true);
      const now = await new Promise<number>(requestAnimationFrame);
      times.push(now - last);
      last = now;
    }
    return times;
  }, { gesture, frames });
}

function row(what: string, times: readonly number[], idle: readonly number[]): Row {
  const sorted = [...times].sort((a, b) => a - b);
  const p95 = sorted[Math.floor(sorted.length * 0.95)]!;
  return {
    what, ours: `median ${milliseconds(median(times))}, 95 % ${milliseconds(p95)}`, against: 'an idle page (60 frames a second at most)',
    theirs: `median ${milliseconds(median(idle))}`, ratio: share(median(times), median(idle)),
  };
}

function share(ours: number, limit: number): string {
  return `${(ours / limit).toFixed(2)} times the limit`;
}
