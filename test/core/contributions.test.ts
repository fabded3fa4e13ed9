import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { activationEvents, capabilities, commands, contributes, l10n, modelExtensions, settings } from '../../src/host/contributions';
import { formats } from '../../src/core/formats/registry';

const root = path.join(__dirname, '..', '..');
const read = (file: string): string => fs.readFileSync(path.join(root, file), 'utf8');
const manifest = JSON.parse(read('package.json')) as Record<string, unknown> & { contributes: Record<string, unknown> };
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('package.json says what src/host/contributions.ts says', () => {
  for (const [key, value] of Object.entries(contributes)) {
    it(`contributes.${key}`, () => {
      assert.deepEqual(manifest.contributes[key], plain(value), advice(`contributes.${key}`, value));
    });
  }

  for (const [key, value] of Object.entries({ activationEvents, capabilities, l10n })) {
    it(key, () => assert.deepEqual(manifest[key], plain(value), advice(key, value)));
  }

  it('declares every setting that the code reads, with the same default', () => {
    const { properties } = contributes.configuration;
    assert.deepEqual(
      Object.fromEntries(Object.entries(properties).map(([name, { default: value }]) => [name.replace('particlize.', ''), value])),
      settings,
    );
  });

  it('offers the explorer menu for every format whose ending is its own', () => {
    // Endings that many other files have too: only "Open Model…" offers those, and files that were looked into.
    const shared = ['.json', '.safetensors.index.json', '.bin', '.npz'];
    const endings = new Set(formats.flatMap(({ extensions }) => extensions).filter((ending) => !shared.includes(ending)));
    const missing = [...endings].filter((ending) => !(modelExtensions as readonly string[]).includes(ending));
    assert.deepEqual(missing, [], 'add these endings to modelExtensions in src/host/contributions.ts');
  });

  it('gives recipes their schema, and it knows every key of the sample recipe', () => {
    const [validation] = contributes.jsonValidation;
    assert.equal(validation!.fileMatch, '*.particlize.json');
    const schema = JSON.parse(read(validation!.url)) as { properties: Record<string, unknown> };
    const recipe = JSON.parse(read('media/samples/digits/digits.particlize.json')) as Record<string, unknown>;
    assert.deepEqual(Object.keys(recipe).filter((key) => !(key in schema.properties)), []);
  });

  it('names files that exist', () => {
    for (const file of JSON.stringify(contributes).match(/media\/[\w./-]+/g) ?? []) {
      assert.ok(fs.existsSync(path.join(root, file)), `${file} is missing`);
    }
  });
});

describe('texts', () => {
  const english = JSON.parse(read('package.nls.json')) as Record<string, string>;
  const chinese = JSON.parse(read('package.nls.zh-cn.json')) as Record<string, string>;

  it('every key of package.json has a text, and every text is used', () => {
    const used = new Set([...JSON.stringify(manifest).matchAll(/%([\w.]+)%/g)].map((match) => match[1]!));
    assert.deepEqual([...used].sort(), Object.keys(english).sort());
  });

  it('Simplified Chinese has the same keys, and links to the same commands', () => {
    assert.deepEqual(Object.keys(chinese).sort(), Object.keys(english).sort());
    const links = (text: string): string[] => text.match(/command:[\w.]+/g) ?? [];
    for (const [key, text] of Object.entries(english)) {
      assert.deepEqual(links(chinese[key]!), links(text), key);
      for (const link of links(text)) assert.ok(Object.values<string>(commands).includes(link.slice('command:'.length)), link);
    }
  });

  it('every text of the code has a Simplified Chinese translation with the same places', () => {
    const bundle = JSON.parse(read(`${l10n}/bundle.l10n.zh-cn.json`)) as Record<string, string>;
    const texts = sources(path.join(root, 'src', 'host')).flatMap((file) =>
      [...fs.readFileSync(file, 'utf8').matchAll(/l10n\.t\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")/g)].map((match) =>
        (match[1] ?? match[2]!).replace(/\\(.)/g, '$1')));
    assert.ok(texts.length > 20, 'the search for texts finds them');
    assert.deepEqual(texts.filter((text) => !(text in bundle)), [], 'add these to the bundle');
    assert.deepEqual(Object.keys(bundle).filter((text) => !texts.includes(text)), [], 'remove these from the bundle');
    const places = (text: string): string[] => [...new Set(text.match(/\{\d\}/g) ?? [])].sort();
    for (const [text, translated] of Object.entries(bundle)) assert.deepEqual(places(translated), places(text), text);
  });
});

function advice(key: string, value: unknown): string {
  return `package.json's ${key} differs from src/host/contributions.ts; it should be:\n${JSON.stringify(value, undefined, 2)}`;
}

function sources(folder: string): string[] {
  return fs.readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => path.join(entry.parentPath, entry.name));
}
