// @ts-check

/**
 * Makes a browser VS Code load an extension from its source folder (and run tests in its extension host), by adding
 * `developmentOptions` to the configuration that the workbench reads from its page. Nothing on the server changes: its
 * own flag for this would also turn notifications off, and rewriting the page breaks its connection to the server.
 * @param {import('playwright-core').Page} page not yet opened
 * @param {string} url the server's address
 * @param {{ extension: string, tests?: string }} folders paths of the extension's folder and of the tests' entry
 */
export async function loadDevExtension(page, url, { extension, tests }) {
  const uri = (/** @type {string} */ file) => ({ scheme: 'vscode-remote', authority: new URL(url).host, path: uriPath(file) });
  const options = { extensions: [uri(extension)], ...(tests === undefined ? {} : { extensionTestsPath: uri(tests) }) };
  await page.addInitScript((added) => {
    const getAttribute = Element.prototype.getAttribute;
    /** @this {Element} @param {string} name */
    Element.prototype.getAttribute = function (name) {
      const value = getAttribute.call(this, name);
      if (value === null || name !== 'data-settings' || this.id !== 'vscode-workbench-web-configuration') return value;
      const configuration = JSON.parse(value);
      configuration.developmentOptions = { ...configuration.developmentOptions, ...added };
      return JSON.stringify(configuration);
    };
  }, options);
}

/** @param {string} file @returns {string} the path as it stands in a URI: C:\a becomes /c:/a */
export function uriPath(file) {
  const forward = file.replaceAll('\\', '/');
  return forward.startsWith('/') ? forward : `/${forward}`;
}
