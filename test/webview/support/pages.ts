import { mkdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import * as esbuild from 'esbuild';
import type { Browser, Page } from 'playwright-core';
import type { FakeData } from './fakeHost';
import { themeCss, themes, type ThemeName } from './themes';

const root = path.resolve(__dirname, '../../..');
const screenshots = path.join(root, 'test-results', 'webview');

interface Problems {
  readonly consoleErrors: string[];
  readonly pageErrors: string[];
}

/** A real browser, and a server with the bundles as they ship, under a content security policy without `unsafe-…`. */
export class Pages {
  private constructor(
    private readonly server: Server,
    private readonly browser: Browser,
    private readonly openPage: (browser: Browser, options?: object) => Promise<{ page: Page; problems: Problems }>,
  ) {}

  static async start(): Promise<Pages> {
    const files = await bundles();
    const server = createServer((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
      const theme = (searchParams.get('theme') ?? 'dark') as ThemeName;
      const page = pathname === '/panel' ? html(theme, 'panel', searchParams.get('language') ?? 'en') : pathname === '/notebook' ? html(theme, 'notebook') : undefined;
      const body = page ?? (pathname === '/theme.css' ? themeCss(theme) : files.get(pathname));
      const type = pathname.endsWith('.css') ? 'text/css' : pathname.endsWith('.js') ? 'text/javascript' : 'text/html; charset=utf-8';
      response.writeHead(body === undefined ? 404 : 200, { 'content-type': type });
      response.end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const harness = (await import('../../harness/browser.mjs')) as {
      launchBrowser(): Promise<Browser>;
      openPage(browser: Browser, options?: object): Promise<{ page: Page; problems: Problems }>;
    };
    return new Pages(server, await harness.launchBrowser(), harness.openPage);
  }

  async panel(data: FakeData, options: { theme?: ThemeName; width?: number; height?: number; language?: string; beforePage?: () => void } = {}): Promise<OpenedPage> {
    const { theme = 'dark', width = 1280, height = 1000, language = 'en' } = options;
    const { page, problems } = await this.openPage(this.browser, { viewport: { width, height } });
    await page.addInitScript(runnerHelper);
    // Typed arrays do not survive an init script's JSON; numbers do.
    await page.addInitScript(
      ({ text }) => {
        window.unpacked = (packed) =>
          JSON.parse(packed, (_key, value: { float32?: (number | null)[]; int32?: number[] } | null) => {
            if (value && typeof value === 'object' && value.float32) return Float32Array.from(value.float32, (number) => number ?? NaN);
            return value && typeof value === 'object' && value.int32 ? Int32Array.from(value.int32) : value;
          }) as unknown;
        window.fakeData = window.unpacked(text) as Window['fakeData'];
      },
      { text: packed(data) },
    );
    if (options.beforePage) await page.addInitScript(options.beforePage);
    await page.goto(`${this.address}/panel?theme=${theme}&language=${language}`);
    return { page, problems };
  }

  /** A page that draws one output with the renderer. */
  async output(payload: unknown, options: { theme?: ThemeName } = {}): Promise<OpenedPage> {
    const { page, problems } = await this.openPage(this.browser, { viewport: { width: 900, height: 420 } });
    await page.addInitScript(runnerHelper);
    await page.goto(`${this.address}/notebook?theme=${options.theme ?? 'light'}`);
    await page.waitForFunction(() => 'renderer' in window);
    await page.evaluate((text) => window.renderer.draw('1', text), typeof payload === 'string' ? payload : JSON.stringify(payload));
    return { page, problems };
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private get address(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }
}

/** Functions that tests send into the page carry a helper of the TypeScript runner. */
const runnerHelper = 'globalThis.__name = (value) => value';

export interface OpenedPage {
  readonly page: Page;
  readonly problems: Problems;
}

declare global {
  interface Window {
    renderer: { draw(id: string, text: string): void; dispose(id?: string): void };
  }
}

export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(screenshots, { recursive: true });
  await page.screenshot({ path: path.join(screenshots, `${name}.png`), fullPage: true });
}

/** Float32Arrays as {float32: [...]} and Int32Arrays as {int32: [...]}, which the page turns back; NaN travels as null. */
export function packed(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (item instanceof Float32Array) return { float32: Array.from(item) };
    return item instanceof Int32Array ? { int32: Array.from(item) } : item;
  });
}

function html(theme: ThemeName, kind: 'panel' | 'notebook', language = 'en'): string {
  const nonce = 'bm9uY2Utb2YtdGVzdHM';
  const policy = `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'self'; img-src 'self' data:; font-src 'self'`;
  const scripts =
    kind === 'panel'
      ? `<main id="root"></main><script nonce="${nonce}" src="/fakeHost.js"></script><script nonce="${nonce}" src="/panel.js"></script>`
      : `<div id="output"></div><script nonce="${nonce}" type="module" src="/notebookPage.js"></script>`;
  return `<!DOCTYPE html><html lang="${language}"><head><meta charset="utf-8"><title>${kind}</title>
<meta http-equiv="Content-Security-Policy" content="${policy}"><link rel="icon" href="data:,">
<link rel="stylesheet" href="/theme.css?theme=${theme}">${kind === 'panel' ? '<link rel="stylesheet" href="/panel.css">' : ''}</head>
<body class="${themes[theme].bodyClass}">${scripts}</body></html>`;
}

async function bundles(): Promise<Map<string, string>> {
  const build = (entryPoints: Record<string, string>, format: 'iife' | 'esm') =>
    esbuild.build({ absWorkingDir: root, entryPoints, format, bundle: true, write: false, outdir: root, platform: 'browser', target: 'es2022', logLevel: 'error' });
  const results = await Promise.all([
    build({ panel: 'webview/panel/main.ts', fakeHost: 'test/webview/support/fakeHost.ts' }, 'iife'),
    build({ notebookPage: 'test/webview/support/notebookPage.ts' }, 'esm'),
  ]);
  return new Map(results.flatMap(({ outputFiles }) => outputFiles.map((file) => [`/${path.basename(file.path)}`, file.text] as const)));
}
