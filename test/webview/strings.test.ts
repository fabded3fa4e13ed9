import assert from 'node:assert';
import { attributeColumns } from '../../src/core/attributes/registry';
import { behaviourColumns } from '../../src/core/behaviour/registry';
import { chinese } from '../../webview/shared/strings/chinese';
import { chineseColumns } from '../../webview/shared/strings/chineseColumns';
import { english } from '../../webview/shared/strings/english';

describe('texts of the webviews', () => {
  it('Chinese has every text, and what it says is Chinese', () => {
    assert.deepStrictEqual(Object.keys(chinese).sort(), Object.keys(english).sort());
    const same = Object.entries(chinese).filter(([key, value]) => typeof value === 'string' && value === english[key as keyof typeof english]).map(([key]) => key);
    // An example of a search, a letter and a question mark are the same in both.
    assert.deepStrictEqual(same.sort(), ['batchSize', 'searchHint', 'unknownSize']);
  });

  it('every column has a Chinese title', () => {
    const names = [...attributeColumns, ...behaviourColumns].map(({ name }) => name);
    assert.deepStrictEqual(names.filter((name) => !(name in chineseColumns)), []);
  });
});
