import type { Page } from 'playwright-core';
import { cellOf, layOut } from '../../../webview/shared/heatmap/layout';

/** The colour really drawn in the middle of a row's cell (the map not scrolled or zoomed): the mean of a few pixels. */
export async function cellColour(page: Page, row: number): Promise<number[]> {
  await nextFrame(page);
  const width = await page.locator('.heatmap-canvas').evaluate((canvas: HTMLCanvasElement) => canvas.clientWidth);
  const layers = await page.evaluate(() => window.fakeData.snapshot!.summary.layers.flatMap(({ name, particles }) => (particles ? [{ name, ...particles }] : [])));
  const cell = cellOf(layOut(layers, width), row)!;
  return page.locator('.heatmap-canvas').evaluate((canvas: HTMLCanvasElement, { left, top, side }) => {
    const ratio = canvas.width / canvas.clientWidth;
    const size = Math.max(1, Math.floor((side / 2) * ratio));
    const { data } = canvas.getContext('2d')!.getImageData(Math.floor((left + side / 4) * ratio), Math.floor((top + side / 4) * ratio), size, size);
    const sums = [0, 0, 0];
    for (let i = 0; i < data.length; i += 4) for (let k = 0; k < 3; k++) sums[k] = sums[k]! + data[i + k]!;
    return sums.map((sum) => Math.round(sum / (data.length / 4)));
  }, { left: cell.left, top: cell.top, side: cell.width });
}

/** How many separate patches of colour the map's canvas shows: cells, counted without asking the program. */
export async function cellBlobs(page: Pick<Page, 'locator'>): Promise<number> {
  await nextFrame(page);
  return page.locator('.heatmap-canvas').evaluate((canvas: HTMLCanvasElement) => {
    const { width, height } = canvas;
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, width, height);
    const background = getComputedStyle(document.body).backgroundColor.match(/\d+/g)!.map(Number);
    const coloured = (i: number) => data[i * 4 + 3]! > 128 && Math.abs(data[i * 4]! - background[0]!) + Math.abs(data[i * 4 + 1]! - background[1]!) + Math.abs(data[i * 4 + 2]! - background[2]!) > 24;
    const seen = new Uint8Array(width * height);
    let count = 0;
    for (let start = 0; start < seen.length; start++) {
      if (seen[start] || !coloured(start)) continue;
      let area = 0;
      const stack = [start];
      seen[start] = 1;
      while (stack.length > 0) {
        const at = stack.pop()!;
        area++;
        for (const next of [at - 1, at + 1, at - width, at + width]) {
          if (next >= 0 && next < seen.length && !seen[next] && coloured(next)) {
            seen[next] = 1;
            stack.push(next);
          }
        }
      }
      // Hatching splits a cell into strips; those are smaller than any cell.
      if (area > 30) count++;
    }
    return count;
  });
}

async function nextFrame(page: Pick<Page, 'locator'>): Promise<void> {
  await page.locator('body').evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}
