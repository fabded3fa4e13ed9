import assert from 'node:assert/strict';
import { loadParse } from '../../../src/compute/parsers';
import type { LayerDefinition } from '../../../src/core/source/definition';
import { applyEdits } from '../../../src/core/source/editSource';
import { findDefinitions } from '../../../src/core/source/findDefinitions';
import type { Parse } from '../../../src/core/source/syntaxTree';
import { editStyle } from './styles/editStyle';
import { kerasStyles } from './styles/kerasStyles';
import { pytorchStyles } from './styles/pytorchStyles';
import type { Style } from './styles/style';
import { tfjsStyles } from './styles/tfjsStyles';

describe('source: ways to write a model', () => {
  let parse: Parse;
  before(async () => {
    parse = await loadParse(['python', 'javascript', 'typescript', 'tsx']);
  });

  for (const style of [...kerasStyles, ...pytorchStyles, ...tfjsStyles]) {
    describe(style.name, () => {
      it('finds the layers with their sizes', () => {
        const found = findDefinitions(style.code, style.language, parse);
        assert.deepEqual(found.map((definition) => describeDefinition(style.code, definition)), style.definitions);
        for (const { span, anchor, sizes, type, name, framework } of found) {
          const call = style.code.slice(span.start, span.end);
          assert.ok(call.endsWith(')'), `the span is the whole call: ${call}`);
          const anchored = style.code.slice(anchor.start, anchor.end);
          if (framework === 'pytorch' && anchored.startsWith('self.')) assert.equal(anchored, `self.${name?.split('.').at(-1)}`);
          else assert.ok(span.start === anchor.start && call.startsWith(anchored) && !anchored.includes('('), `${type}: ${anchored}`);
          for (const { literal, value } of sizes) if (literal) assert.equal(style.code.slice(literal.start, literal.end), String(value));
        }
      });

      it('edits exactly what pruning changes', () => {
        const { edits, manual } = editStyle(style, parse);
        assert.equal(applyEdits(style.code, edits), expected(style));
        const reasons = style.manual ?? [];
        assert.equal(manual.length >= reasons.length, true);
        if (reasons.length === 0) assert.deepEqual(manual, []);
        for (const reason of reasons) assert.ok(manual.some((one) => one.reason.includes(reason)), `${reason} in ${JSON.stringify(manual)}`);
      });
    });
  }
});

/** The code with each expected edit made, every one in a place that the text has once. */
function expected({ code, edits }: Style): string {
  return edits.reduce((text, [before, after]) => {
    assert.equal(code.split(before).length, 2, `"${before}" stands once in the code`);
    return text.replace(before, () => after);
  }, code);
}

function describeDefinition(code: string, { name, type, sizes }: LayerDefinition): string {
  const written = sizes.map(({ argument, span, value, literal }) => {
    const text = code.slice(span.start, span.end);
    return ` ${argument}=${text}${text === String(value) ? '' : `:${value ?? '?'}`}${literal ? '' : '!'}`;
  });
  return `${name ?? '-'} ${type}${written.join('')}`;
}
