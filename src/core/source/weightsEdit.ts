import { analyseSource } from './findDefinitions';
import { forEachExpression, type CallNode, type Expression, type StringNode } from './program';
import type { SourceEdits } from './editSource';
import type { Language, Parse } from './syntaxTree';

/**
 * The edits that make code load the new weights where it loads the old ones by a string literal that names their
 * file: `load_weights("model.keras")`, `Path(...).with_name("model.pt")`, `loadLayersModel('file://x/model.json')`. A name that
 * is also written to is left alone, and so is one whose extension the new file does not have.
 *
 * @param oldName the old file's name or path with '/', as far as it is known, such as 'tfjs/model.json'
 * @param newName the new file's, from the same folder on
 */
export function weightsEdit(text: string, language: Language, parse: Parse, oldName: string, newName: string): SourceEdits {
  const { scopes } = analyseSource(text, language, parse);
  const found = new Map<StringNode, { written: string; saved: boolean }>();
  const saved = new Set<StringNode>();
  forEachExpression(scopes.program, (expression, around, statement) => {
    const call = around.filter((one): one is CallNode => one.kind === 'call').at(-1);
    const literal = expression.kind === 'string' ? expression : undefined;
    if (call && isSaving(call)) {
      const behind = literal ?? stringBehind(expression);
      if (behind) saved.add(behind);
    }
    // A docstring or a comparison loads nothing.
    if (!literal?.content || (statement.value === literal && statement.kind === 'expression')) return;
    const written = renamed(literal.value, oldName, newName);
    if (written !== undefined) found.set(literal, { written, saved: false });
  });

  function stringBehind(expression: Expression): StringNode | undefined {
    for (let index = 0, one = expression; index < 8; index++) {
      const resolved = scopes.resolveFully(one);
      if (resolved.kind !== 'expression') return undefined;
      if (resolved.expression.kind === 'string') return resolved.expression;
      // `WEIGHTS = Path(__file__).with_name("model.keras")`
      const inner = resolved.expression.kind === 'call' ? resolved.expression.arguments.at(-1)?.value : undefined;
      if (!inner) return undefined;
      one = inner;
    }
    return undefined;
  }

  const loads = [...found].filter(([literal]) => !saved.has(literal));
  const fits = extension(oldName) === extension(newName);
  return {
    edits: fits
      ? loads.map(([literal, { written }]) => ({ span: literal.content!, text: written, label: `weights: ${oldName} → ${newName}` }))
      : [],
    manual: fits
      ? []
      : loads.map(([literal]) => ({
          span: { start: literal.start, end: literal.end },
          reason: `the new weights are in ${newName}, which this code does not load: it reads ${extension(oldName)} files`,
        })),
  };
}

const saving = new Set(['save', 'save_weights', 'save_model', 'saveWeights', 'dump', 'export', 'ModelCheckpoint', 'unlink', 'remove', 'writeFile', 'writeFileSync']);

function isSaving({ callee }: CallNode): boolean {
  return (callee.kind === 'name' || callee.kind === 'member') && saving.has(callee.name);
}

/** A written path with the old file's name in it replaced; undefined when it names another file. */
function renamed(written: string, oldName: string, newName: string): string | undefined {
  const [path, old] = [written.split('/'), oldName.split('/')];
  if (path.at(-1) !== old.at(-1) || path.at(-1) === '') return undefined;
  let same = 0;
  while (same < Math.min(path.length, old.length) && path[path.length - 1 - same] === old[old.length - 1 - same]) same++;
  // 'other/model.json' is not 'tfjs/model.json'; './' and 'file://' say nothing about the folder.
  const [left, leftOld] = [path.slice(0, path.length - same), old.slice(0, old.length - same)];
  const differs = left.length > 0 && leftOld.length > 0 && left.at(-1) !== '.' && left.at(-1) !== '';
  if (differs) return undefined;
  const fresh = newName.split('/');
  // The code names the file from further inside than the old name does: the folders before must stay the same.
  if (leftOld.some((folder, index) => fresh[index] !== folder)) return undefined;
  return [...left, ...fresh.slice(leftOld.length)].join('/');
}

function extension(name: string): string {
  const file = name.slice(name.lastIndexOf('/') + 1);
  return file.includes('.') ? file.slice(file.lastIndexOf('.')) : '';
}
