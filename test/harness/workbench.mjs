// @ts-check
import fs from 'node:fs';
import path from 'node:path';
import { repoRoot } from './paths.mjs';
import { addWorkspaceSettings } from './sampleWorkspace.mjs';

/** @typedef {'light' | 'dark' | 'highContrast' | 'highContrastLight'} Theme */
/** @typedef {import('playwright-core').Locator} Locator */
/** @typedef {import('playwright-core').FrameLocator} FrameLocator */

/** Milliseconds that anything in the workbench may take on a busy machine before a test gives up on it. */
const patience = 60_000;

/**
 * VS Code's window as a test sees it (a page object; `openWorkbench` makes one). Every method waits for what it acts on,
 * so tests need no pauses; what it hands out as a Locator is for `waitFor()`, `innerText()`, `count()` and the like.
 */
export class Workbench {
  /**
   * @param {{
   *   page: import('playwright-core').Page,
   *   problems: import('./browser.mjs').PageProblems,
   *   folder: string,
   *   version: string,
   *   close: () => Promise<void>,
   * }} parts
   */
  constructor({ page, problems, folder, version, close }) {
    /** The browser page, for what this class does not offer. */
    this.page = page;
    /** Errors in the page so far, VS Code's own (there are always some) included; see `extensionErrors`. */
    this.problems = problems;
    /** Path of the opened folder: a copy that `close` removes. */
    this.folder = folder;
    /** Version of VS Code, such as '1.139'. */
    this.version = version;
    /** Ends the browser (and the server, if this test started it) and removes the folder. */
    this.close = close;
    page.setDefaultTimeout(patience);
  }

  /** @returns {string} the folder that screenshots go to (made when missing; git-ignored) */
  static screenshotDir() {
    const folder = process.env.PARTICLIZE_SCREENSHOTS ?? path.join(repoRoot, 'test-results', 'screenshots');
    fs.mkdirSync(folder, { recursive: true });
    return folder;
  }

  /** Waits until the explorer lists files. */
  async waitUntilOpen() {
    await this.page.locator('.explorer-folders-view .monaco-list-row').first().waitFor();
  }

  // ---- commands and menus

  /**
   * Runs a command by its full title in the command palette.
   * @param {string} title such as 'Particlize: Open Model'
   */
  async runCommand(title) {
    // The palette's list is made when it opens: before the extension's commands are known, it has to be opened again.
    await this.#insist(`the command "${title}"`, async () => {
      await this.page.keyboard.press('F1');
      await this.#quickInput().waitFor({ timeout: 3000 });
      await this.#quickInput().fill(`>${title}`, { timeout: 3000 });
      await this.#quickRow(title).waitFor({ timeout: 3000 });
      await this.#quickRow(title).click({ timeout: 3000 });
    });
  }

  /** @param {string} title @returns {Promise<boolean>} whether the palette offers this command just now */
  async offersCommand(title) {
    await this.page.keyboard.press('F1');
    await this.#quickInput().waitFor();
    await this.#quickInput().fill(`>${title}`);
    const rows = this.page.locator('.quick-input-list .monaco-list-row');
    await rows.first().waitFor();
    const found = await this.#quickRow(title).isVisible();
    await this.page.keyboard.press('Escape');
    return found;
  }

  /**
   * Right-clicks something and chooses an item.
   * @param {Locator} target @param {string} label the item's label
   */
  async chooseFromContextMenu(target, label) {
    await this.#insist(`"${label}" in the context menu`, async () => {
      const item = (await this.#openContextMenu(target)).locator('.action-item', { hasText: label }).first();
      await item.waitFor({ timeout: 1500 });
      await item.hover();
      // A menu ignores the mouse for its first 100 ms, as a guard against the right click itself.
      await this.page.waitForTimeout(200);
      await item.click({ timeout: 3000 });
      await this.page.locator('.monaco-menu').first().waitFor({ state: 'detached', timeout: 3000 });
    });
  }

  /** @param {Locator} target @returns {Promise<string[]>} the labels of its context menu, which is closed again */
  async contextMenuLabels(target) {
    const menu = await this.#openContextMenu(target);
    const labels = await menu.locator('.action-item .action-label:not(.separator)').allInnerTexts();
    await this.page.keyboard.press('Escape');
    await menu.waitFor({ state: 'detached' });
    return labels.map((label) => label.trim()).filter((label) => label !== '');
  }

  /** Right-clicks a file in the explorer and chooses an item. @param {string} file its name @param {string} label */
  async explorerContextMenu(file, label) {
    await this.showView('Explorer');
    await this.chooseFromContextMenu(this.explorerRow(file), label);
  }

  /** Clicks an action (an icon button) by its tooltip in the active editor's title bar. @param {string} label */
  async clickEditorTitleAction(label) {
    await this.page.locator('.editor-group-container.active .editor-actions').getByLabel(label).first().click();
  }

  // ---- quick pick, input box, dialogs, notifications

  /** Chooses an item of the open quick pick. @param {string} label */
  async pick(label) {
    await this.#quickRow(label).click();
  }

  /** @returns {Promise<string[]>} the labels of the open quick pick (the visible ones of a long list) */
  async pickLabels() {
    const rows = this.page.locator('.quick-input-list .monaco-list-row .label-name');
    await rows.first().waitFor();
    return rows.allInnerTexts();
  }

  /** Types into the open quick pick or input box. @param {string} text @param {boolean} [accept] and presses Enter */
  async typeQuickInput(text, accept = true) {
    await this.#quickInput().fill(text);
    if (accept) await this.page.keyboard.press('Enter');
  }

  /** Presses a button of the open modal dialog. @param {string} label */
  async clickDialogButton(label) {
    await this.page.locator('.monaco-dialog-box .monaco-button', { hasText: label }).click();
  }

  /** @param {string | RegExp} text @returns {Locator} the notification (toast) with this text */
  notification(text) {
    return this.page.locator('.notifications-toasts .notification-list-item', { hasText: text });
  }

  /** Waits for a notification. @param {string | RegExp} text @returns {Promise<string>} its whole message */
  async waitForNotification(text) {
    const message = this.notification(text).locator('.notification-list-item-message').first();
    await message.waitFor();
    return message.innerText();
  }

  /** Presses a notification's button. @param {string | RegExp} text of the notification @param {string} button */
  async clickNotificationButton(text, button) {
    await this.notification(text).locator('.monaco-button', { hasText: button }).click();
  }

  /** Dismisses all notifications. */
  async clearNotifications() {
    await this.runCommand('Notifications: Clear All Notifications');
    await this.page.locator('.notifications-toasts .notification-list-item').first().waitFor({ state: 'detached' });
  }

  // ---- side bar and trees

  /**
   * Opens a view container by its title in the activity bar, unless it is open.
   * @param {string} title such as 'Explorer' or 'Particlize'
   */
  async showView(title) {
    const button = this.page.locator(`.activitybar .action-item:has(a[aria-label^="${title}"])`).first();
    await button.waitFor();
    const isOpen = async () => (await button.getAttribute('class'))?.split(' ').includes('checked') ?? false;
    await this.#insist(`the view "${title}"`, async () => {
      if (await isOpen()) return;
      await button.click();
      await this.waitFor(isOpen, `${title} to open`, 2000);
    });
  }

  /** @param {string} title of a view inside a container @returns {Locator} its pane */
  pane(title) {
    return this.page.locator('.pane', { has: this.page.locator(`.pane-header h3.title`, { hasText: title }) });
  }

  /** @param {string} title of a view @returns {Locator} the rows of its tree that are drawn (long trees draw a part) */
  treeRows(title) {
    return this.pane(title).locator('.monaco-list-row');
  }

  /** @param {string} title of a view @param {string | RegExp} text @returns {Locator} the first row with this text */
  treeRow(title, text) {
    return this.treeRows(title).filter({ hasText: text }).first();
  }

  /** @param {string} title of a view @returns {Promise<string[]>} label and description of each drawn row, in order */
  async treeTexts(title) {
    const drawn = await this.treeRows(title).evaluateAll((rows) =>
      rows.map((row) => {
        const parts = [...row.querySelectorAll('.label-name, .label-description')].map((part) => part.textContent);
        return { top: row.getBoundingClientRect().top, text: parts.join(' ').replaceAll('\u00a0', ' ').trim() };
      }),
    );
    return drawn.sort((a, b) => a.top - b.top).map(({ text }) => text);
  }

  /** Opens a row's children, unless they are open, and waits for them. @param {string} title of the view @param {string | RegExp} text */
  async expandTreeRow(title, text) {
    const row = this.treeRow(title, text);
    await row.waitFor();
    if ((await row.getAttribute('aria-expanded')) === 'true') return;
    await row.locator('.monaco-tl-twistie').click();
    await this.waitFor(async () => (await row.getAttribute('aria-expanded')) === 'true', `${text} to open`);
    const level = Number(await row.getAttribute('aria-level'));
    await this.pane(title).locator(`.monaco-list-row[aria-level="${level + 1}"]`).first().waitFor();
  }

  /** Presses an inline action of a row. @param {Locator} row @param {string} label its tooltip */
  async clickRowAction(row, label) {
    await row.hover();
    await row.getByLabel(label).first().click();
  }

  /** Presses an action in a view's header. @param {string} title of the view @param {string} label its tooltip */
  async clickPaneAction(title, label) {
    await this.pane(title).hover();
    // A container's only view has its actions in the side bar's title instead.
    const header = this.pane(title).locator('.pane-header:not(.hidden) .actions');
    const actions = header.or(this.page.locator('.sidebar .composite.title .title-actions'));
    await actions.getByLabel(label).filter({ visible: true }).first().click();
  }

  /** @param {string} name @returns {Locator} the explorer's row of a file or folder with exactly this name */
  explorerRow(name) {
    const label = this.page.locator('.label-name', { hasText: new RegExp(`^${escaped(name)}$`) });
    return this.page.locator('.explorer-folders-view .monaco-list-row', { has: label }).first();
  }

  /** @param {string | RegExp} text @returns {Locator} the status bar's item with this text */
  statusBarItem(text) {
    return this.page.locator('.statusbar-item', { hasText: text }).first();
  }

  // ---- editors

  /** Opens a file through "Go to File". @param {string} name its name, or path in the folder */
  async openFile(name) {
    await this.#insist(`the file "${name}"`, async () => {
      await this.page.keyboard.press('ControlOrMeta+P');
      await this.#quickInput().waitFor({ timeout: 3000 });
      await this.#quickInput().fill(name, { timeout: 3000 });
      const base = path.posix.basename(name);
      await this.#quickRow(base).waitFor({ timeout: 3000 });
      await this.#quickRow(base).click({ timeout: 3000 });
      await this.tab(base).waitFor({ timeout: 5000 });
    });
  }

  /** @param {string | RegExp} title @returns {Locator} the editor tab with this title */
  tab(title) {
    return this.page.locator('.tabs-container .tab', { hasText: title }).first();
  }

  /** Closes all editors, discarding nothing. */
  async closeEditors() {
    await this.runCommand('View: Close All Editors');
    await this.page.locator('.tabs-container .tab').first().waitFor({ state: 'detached' });
  }

  /** @returns {Promise<string[]>} the active text editor's drawn lines, code lenses left out */
  async editorLines() {
    const lines = this.page.locator('.editor-group-container.active .monaco-editor .view-line');
    await lines.first().waitFor();
    const drawn = await lines.evaluateAll((elements) =>
      elements.map((element) => ({ top: element.getBoundingClientRect().top, text: element.textContent ?? '' })),
    );
    return drawn.sort((a, b) => a.top - b.top).map(({ text }) => text.replaceAll('\u00a0', ' '));
  }

  /** @param {string | RegExp} text @returns {Locator} the code lens with this text in a visible editor */
  codeLens(text) {
    return this.page.locator('.monaco-editor .codelens-decoration a', { hasText: text }).first();
  }

  /** @param {string} file path in the folder @returns {string} what stands on the disk */
  readFile(file) {
    return fs.readFileSync(path.join(this.folder, file), 'utf8');
  }

  // ---- webviews

  /**
   * The document inside a visible webview, by its position on the page.
   * @param {number} [nth] 0 is the oldest; a notebook's outputs are one webview
   * @returns {FrameLocator}
   */
  webview(nth = 0) {
    const frames = this.page.locator('iframe.webview.ready:visible');
    return frames.nth(nth).contentFrame().frameLocator('iframe#active-frame');
  }

  /**
   * The document inside the webview of an editor tab, which is made the active one.
   * @param {string | RegExp} title the tab's title
   * @returns {Promise<FrameLocator>}
   */
  async webviewOfTab(title) {
    await this.tab(title).click();
    const host = this.page.locator('.editor-group-container.active [id^="webview-editor-element-"]').first();
    await host.waitFor({ state: 'attached' });
    // The webview itself floats above the workbench; the editor says which one is its own.
    const frame = this.page.locator(`[id="${await host.getAttribute('aria-flowto')}"] iframe.webview.ready`);
    return frame.contentFrame().frameLocator('iframe#active-frame');
  }

  // ---- looks

  /** Changes the colour theme and waits until it shows. @param {Theme} theme */
  async setTheme(theme) {
    addWorkspaceSettings(this.folder, { 'workbench.colorTheme': themeId(theme, this.version) });
    await this.page.locator(`.monaco-workbench.${themeClasses[theme]}`).waitFor();
  }

  /**
   * Writes a picture of the window (or of a part) to the screenshots' folder.
   * @param {string} name without the ending; the version is added
   * @param {Locator} [part]
   * @returns {Promise<string>} the file
   */
  async screenshot(name, part) {
    const file = path.join(Workbench.screenshotDir(), `${name}-${this.version}.png`);
    await (part ?? this.page).screenshot({ path: file, animations: 'disabled' });
    return file;
  }

  // ---- waiting

  /**
   * Waits until a condition holds.
   * @param {() => boolean | Promise<boolean>} condition @param {string} what for the error: "Waited in vain for …"
   * @param {number} [timeoutMs]
   */
  async waitFor(condition, what, timeoutMs = patience) {
    const end = Date.now() + timeoutMs;
    while (!(await condition())) {
      if (Date.now() > end) throw new Error(`Waited in vain for ${what}.`);
      await this.page.waitForTimeout(50);
    }
  }

  /** @returns {string[]} the errors so far that come from the extension or its webviews; should stay empty */
  extensionErrors() {
    const own = [path.join(repoRoot, 'dist'), 'particlize.particlize', '/dist/webview/'];
    const errors = [...this.problems.consoleErrors, ...this.problems.pageErrors];
    return errors.filter((error) => own.some((mark) => error.includes(mark)));
  }

  // ---- parts

  #quickInput() {
    return this.page.locator('.quick-input-widget:visible .quick-input-box input').first();
  }

  /** @param {string} label */
  #quickRow(label) {
    const name = this.page.locator('.label-name', { hasText: new RegExp(`^\\s*${escaped(label)}\\s*$`) });
    return this.page.locator('.quick-input-list .monaco-list-row', { has: name }).first();
  }

  /** @param {Locator} target */
  async #openContextMenu(target) {
    await target.click({ button: 'right' });
    const menu = this.page.locator('.monaco-menu').last();
    await menu.waitFor({ timeout: 5000 });
    return menu;
  }

  /**
   * Repeats an action that VS Code may not be ready for yet, until it succeeds or patience ends.
   * @param {string} what @param {() => Promise<void>} action
   */
  async #insist(what, action) {
    const end = Date.now() + patience;
    for (;;) {
      try {
        await action();
        return;
      } catch (error) {
        if (Date.now() > end) throw new Error(`Could not get at ${what}: ${/** @type {Error} */ (error).message}`);
        await this.page.keyboard.press('Escape');
        await this.page.waitForTimeout(300);
      }
    }
  }
}

/** @param {Theme} theme @param {string} version of VS Code: 1.139 names its themes anew @returns {string} */
export function themeId(theme, version) {
  const modern = version === '1.99' ? 'Default ' : '';
  const ids = {
    light: `${modern}Light Modern`,
    dark: `${modern}Dark Modern`,
    highContrast: 'Default High Contrast',
    highContrastLight: 'Default High Contrast Light',
  };
  return ids[theme];
}

/** The class that VS Code gives its window for the kind of theme. */
const themeClasses = { light: 'vs', dark: 'vs-dark', highContrast: 'hc-black', highContrastLight: 'hc-light' };

/** @param {string} text */
function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
