import { editSource, type SourceEdits } from '../../../../src/core/source/editSource';
import { findDefinitions } from '../../../../src/core/source/findDefinitions';
import { linkDefinitions } from '../../../../src/core/source/linkDefinitions';
import type { Parse } from '../../../../src/core/source/syntaxTree';
import { changesOf, layersOf, layoutOf, type Style } from './style';

/** Finds, links and edits: the way from a style's code to the edits of its pruning. */
export function editStyle(style: Style, parse: Parse): SourceEdits {
  const layout = layoutOf(style.code);
  const definitions = findDefinitions(style.code, style.language, parse);
  const links = linkDefinitions(definitions, layersOf(style.model, layout));
  return editSource(style.code, style.language, parse, links, changesOf(style.model, style.prune, layout));
}
