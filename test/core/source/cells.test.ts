import assert from 'node:assert/strict';
import { loadParse } from '../../../src/compute/parsers';
import { joinCells } from '../../../src/core/source/cells';
import { findDefinitions } from '../../../src/core/source/findDefinitions';

describe('source: the cells of a notebook', () => {
  it('are one program, and each definition is in its cell', async () => {
    const cells = ['%matplotlib inline\nimport torch.nn as nn\nWIDTH = 12', '!pip install x', 'class N(nn.Module):\n  def __init__(self):\n    super().__init__()\n    self.a = nn.Linear(3, WIDTH)'];
    const joined = joinCells(cells);
    const [only, ...others] = findDefinitions(joined.text, 'python', await loadParse(['python']));
    assert.equal(others.length, 0);
    assert.deepEqual(only?.instances?.map(({ path, sizes }) => [path, sizes]), [['a', { in_features: 3, out_features: 12 }]]);
    const place = joined.placeOf(only.span)!;
    assert.equal(place.cell, 2);
    assert.equal(cells[2]!.slice(place.span.start, place.span.end), 'nn.Linear(3, WIDTH)');
    const constant = joined.placeOf(only.sizes[1]!.literal!)!;
    assert.equal(constant.cell, 0);
    assert.equal(cells[0]!.slice(constant.span.start, constant.span.end), '12');
    assert.equal(joined.placeOf({ start: 0, end: joined.text.length }), undefined);
  });
});
