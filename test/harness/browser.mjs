// @ts-check
import { chromium } from 'playwright-core';
import { findChromium } from './chromium.mjs';

/**
 * What a page reported while it was open; tests assert that it stayed empty.
 * @typedef {{ consoleErrors: string[], pageErrors: string[] }} PageProblems
 */

/**
 * Starts a headless browser (with a window when $HEADED is set).
 * @returns {Promise<import('playwright-core').Browser>}
 */
export async function launchBrowser() {
  return chromium.launch({
    executablePath: await findChromium(),
    headless: process.env.HEADED === undefined,
    args: [
      // Containers rarely allow the sandbox, and root never gets one.
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      '--no-default-browser-check',
    ],
  });
}

/**
 * Opens a page in a fresh profile and collects what goes wrong in it.
 * @param {import('playwright-core').Browser} browser
 * @param {import('playwright-core').BrowserContextOptions} [options]
 * @returns {Promise<{ page: import('playwright-core').Page, problems: PageProblems }>}
 */
export async function openPage(browser, options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  // Functions handed to the page come through a compiler that wraps named functions in this helper.
  await context.addInitScript('globalThis.__name ??= (value) => value;');
  const page = await context.newPage();
  /** @type {PageProblems} */
  const problems = { consoleErrors: [], pageErrors: [] };
  page.on('console', (message) => {
    if (process.env.VERBOSE !== undefined) console.log(`[page ${message.type()}] ${message.text().slice(0, 400)}`);
    if (message.type() === 'error') problems.consoleErrors.push(message.text());
  });
  page.on('pageerror', (error) => problems.pageErrors.push(String(error.stack ?? error)));
  return { page, problems };
}
