import { enclosingClass, isComment, itemOf, Lowering, spanOf } from './lowering';
import type { Argument, Entry, Expression, Form, Program, Scope, Step } from './program';
import { child, type SyntaxNode, type SyntaxTree } from './syntaxTree';

/** A Python syntax tree as a {@link Program}. */
export function lowerPython(tree: SyntaxTree): Program {
  return new PythonLowering(tree.text, tree.root).program(tree.root);
}

class PythonLowering extends Lowering {
  /** The definition that comes next is decorated with @staticmethod. */
  private isStatic = false;

  protected lowerStatement(node: SyntaxNode): void {
    switch (node.type) {
      case 'comment': case 'pass_statement': return;
      case 'break_statement': return this.step({ kind: 'break', span: spanOf(node) });
      case 'continue_statement': return this.step({ kind: 'continue', span: spanOf(node) });
      case 'import_statement': return this.lowerImport(node);
      case 'import_from_statement': return this.lowerFromImport(node);
      case 'function_definition': return this.lowerFunction(node);
      case 'class_definition': return this.lowerClass(node);
      case 'assignment': return this.lowerAssignment(node);
      case 'augmented_assignment': return this.lowerAugmented(node);
      case 'return_statement': {
        const value = node.children.find((one) => !isComment(one));
        if (value) this.addStatement('return', node, this.expression(value));
        return;
      }
      case 'for_statement': return this.inBranch(node, () => {
        const [left, right, body] = [child(node, 'left'), child(node, 'right'), child(node, 'body')];
        if (body) this.loops.push(spanOf(body));
        const iterable = right && this.expression(right);
        // Looked at once; the loop itself is a step of its own.
        if (iterable) this.collect(() => this.addStatement('expression', right, iterable));
        if (left) this.bindChanging(left);
        const steps = this.collect(() => node.children.filter((one) => one !== left && one !== right).forEach((one) => this.statement(one)));
        if (left && iterable) this.step({ kind: 'for', span: spanOf(node), target: this.expression(left), iterable, body: steps });
      });
      case 'if_statement': return this.inBranch(node, () => this.lowerIf(node));
      case 'while_statement':
        this.loops.push(spanOf(node));
        this.inBranch(node, () => this.collect(() => this.lowerChildren(node)));
        return this.step({ kind: 'while', span: spanOf(node) });
      case 'try_statement': case 'match_statement':
        return this.inBranch(node, () => this.lowerChildren(node));
      case 'except_clause': case 'case_clause':
        // What happens only sometimes is no step.
        this.collect(() => this.lowerChildren(node));
        return;
      case 'raise_statement':
        this.collect(() => this.addStatement('expression', node, this.expression(node)));
        return this.step({ kind: 'raise', span: spanOf(node) });
      case 'assert_statement': case 'delete_statement':
        this.collect(() => this.addStatement('expression', node, this.expression(node)));
        return;
      case 'decorated_definition':
        this.isStatic = node.children.some((one) => one.type === 'decorator' && this.textOf(one).includes('staticmethod'));
        return this.lowerChildren(node);
      case 'with_item': {
        const value = child(node, 'value');
        const pattern = value?.type === 'as_pattern' ? child(value, 'alias') : undefined;
        if (pattern) pattern.children.forEach((one) => this.bindChanging(one));
        const opened = pattern ? value?.children[0] : value;
        if (opened) this.addStatement('expression', opened, this.expression(opened));
        return;
      }
      case 'module': case 'block': case 'expression_statement': case 'elif_clause':
      case 'else_clause': case 'finally_clause': case 'with_statement': case 'with_clause': case 'ERROR':
        return this.lowerChildren(node);
      case 'decorator':
        this.collect(() => this.lowerChildren(node));
        return;
      default:
        this.addStatement('expression', node, this.expression(node));
    }
  }

  protected lowerExpression(node: SyntaxNode): Expression {
    const at = { scope: this.scope, start: node.start, end: node.end };
    switch (node.type) {
      case 'integer': case 'float': return this.lowerNumber(node);
      case 'string': return this.lowerString(node);
      case 'true': return { kind: 'constant', value: true, ...at };
      case 'false': return { kind: 'constant', value: false, ...at };
      case 'none': return { kind: 'constant', value: null, ...at };
      case 'identifier': return { kind: 'name', name: this.textOf(node), ...at };
      case 'parenthesized_expression': case 'await': {
        const inner = node.children.filter((one) => !isComment(one));
        return inner.length === 1 ? this.expression(inner[0]!) : this.otherWithParts(node);
      }
      case 'attribute': {
        const [object, name] = [child(node, 'object'), child(node, 'attribute')];
        if (!object || !name) return this.otherWithParts(node);
        return { kind: 'member', object: this.expression(object), name: this.textOf(name), ...at };
      }
      case 'subscript': {
        const [object, index] = [child(node, 'value'), child(node, 'subscript')];
        if (!object || !index) return this.otherWithParts(node);
        const several = node.children.filter((one) => one.field === 'subscript');
        if (several.length > 1) {
          return { kind: 'subscript', object: this.expression(object), index: { kind: 'list', items: several.map((one) => this.expression(one)), ...at }, ...at };
        }
        return { kind: 'subscript', object: this.expression(object), index: this.expression(index), ...at };
      }
      case 'call': {
        const callee = child(node, 'function');
        const list = child(node, 'arguments');
        if (!callee || !list) return this.otherWithParts(node);
        return { kind: 'call', callee: this.expression(callee), arguments: this.lowerArguments(list), ...at };
      }
      case 'list': case 'tuple': case 'expression_list': case 'pattern_list': case 'tuple_pattern': case 'list_pattern':
        return { kind: 'list', items: node.children.filter((one) => !isComment(one)).map((one) => this.expression(one)), ...at };
      case 'dictionary': return { kind: 'dict', entries: this.lowerEntries(node), ...at };
      case 'unary_operator': {
        const [operator, operand] = [child(node, 'operator'), child(node, 'argument')];
        if (!operator || !operand) return this.otherWithParts(node);
        return { kind: 'unary', operator: this.textOf(operator), operand: this.expression(operand), ...at };
      }
      case 'binary_operator': {
        const [left, operator, right] = [child(node, 'left'), child(node, 'operator'), child(node, 'right')];
        if (!left || !operator || !right) return this.otherWithParts(node);
        return { kind: 'binary', operator: this.textOf(operator), left: this.expression(left), right: this.expression(right), ...at };
      }
      case 'list_splat': case 'dictionary_splat': {
        const operand = node.children[0];
        return operand ? { kind: 'spread', operand: this.expression(operand), ...at } : this.otherWithParts(node);
      }
      case 'named_expression': {
        const [name, value] = [child(node, 'name'), child(node, 'value')];
        if (!name || !value) return this.otherWithParts(node);
        const lowered = this.expression(value);
        this.bind({ name: this.textOf(name), kind: 'value', value: lowered, span: spanOf(name) });
        return lowered;
      }
      case 'lambda': return this.lowerLambda(node);
      case 'comparison_operator': {
        const operators = node.children.filter((one) => one.field === 'operators').map((one) => this.textOf(one).split(/\s+/).join(' '));
        const operands = node.children.filter((one) => one.field !== 'operators' && !isComment(one)).map((one) => this.expression(one));
        return this.other(node, operands, { kind: 'comparison', operators, operands });
      }
      case 'boolean_operator': {
        const [left, operator, right] = [child(node, 'left'), child(node, 'operator'), child(node, 'right')];
        if (!left || !operator || !right) return this.otherWithParts(node);
        const operands = [this.expression(left), this.expression(right)];
        return this.other(node, operands, { kind: 'logic', operator: this.textOf(operator), operands });
      }
      case 'not_operator': {
        const operands = node.children.filter((one) => !isComment(one)).map((one) => this.expression(one));
        return this.other(node, operands, { kind: 'logic', operator: 'not', operands });
      }
      case 'conditional_expression': {
        const parts = node.children.filter((one) => !isComment(one)).map((one) => this.expression(one));
        const [then, test, otherwise] = parts;
        return this.other(node, parts, then && test && otherwise ? { kind: 'conditional', then, test, otherwise } : undefined);
      }
      case 'slice': return this.lowerSlice(node);
      case 'list_comprehension': case 'set_comprehension': case 'dictionary_comprehension': case 'generator_expression':
        return this.lowerComprehension(node);
      default: return this.otherWithParts(node);
    }
  }

  private lowerNumber(node: SyntaxNode): Expression {
    const value = Number(this.textOf(node).replaceAll('_', ''));
    return Number.isFinite(value)
      ? { kind: 'number', value, scope: this.scope, start: node.start, end: node.end }
      : this.other(node, []);
  }

  /** The value of a plain string; of one with escapes or interpolations only its parts are known. */
  private lowerString(node: SyntaxNode): Expression {
    const interpolations = node.children.filter((one) => one.type === 'interpolation');
    const contents = node.children.filter((one) => one.type === 'string_content');
    const plain = interpolations.length === 0 && contents.length <= 1 && !contents[0]?.children.length;
    if (!plain) {
      const parts = interpolations.flatMap((one) => one.children).map((one) => this.expression(one));
      const pieces = node.children.flatMap((one): (string | Expression)[] => {
        if (one.type === 'string_content') return [this.textOf(one)];
        const inner = one.type === 'interpolation' ? one.children[0] : undefined;
        return inner ? [parts.find((part) => part.start === inner.start) ?? ''] : [];
      });
      const simple = interpolations.every((one) => one.children.length === 1);
      return this.other(node, parts, simple ? { kind: 'format', pieces } : undefined);
    }
    const content = contents[0];
    return {
      kind: 'string', value: content ? this.textOf(content) : '', ...(content ? { content: spanOf(content) } : {}),
      scope: this.scope, start: node.start, end: node.end,
    };
  }

  private lowerArguments(list: SyntaxNode): Argument[] {
    if (list.type !== 'argument_list') return [{ value: this.expression(list) }];
    return list.children.filter((one) => !isComment(one)).map((one) => {
      const [name, value] = [child(one, 'name'), child(one, 'value')];
      if (one.type === 'keyword_argument' && name && value) return { name: this.textOf(name), value: this.expression(value) };
      return { value: this.expression(one) };
    });
  }

  private lowerEntries(node: SyntaxNode): Entry[] {
    return node.children.filter((one) => !isComment(one)).map((one) => {
      const [key, value] = [child(one, 'key'), child(one, 'value')];
      if (one.type === 'pair' && key && value) return { key: this.expression(key), value: this.expression(value) };
      return { value: this.expression(one) };
    });
  }

  private lowerLambda(node: SyntaxNode): Expression {
    const scope = this.newScope('function', node);
    let body: Expression | undefined;
    this.inScope(scope, () => {
      const parameters = child(node, 'parameters');
      if (parameters) this.lowerParameters(parameters, scope, false);
      const inner = child(node, 'body');
      if (inner) body = this.expression(inner);
    });
    return this.other(node, body ? [body] : [], body && { kind: 'lambda', scope, body });
  }

  private lowerSlice(node: SyntaxNode): Expression {
    const bounds: (Expression | undefined)[] = [undefined];
    let at = node.start;
    for (const one of node.children.filter((part) => !isComment(part))) {
      for (const character of this.text.slice(at, one.start)) if (character === ':') bounds.push(undefined);
      bounds[bounds.length - 1] = this.expression(one);
      at = one.end;
    }
    for (const character of this.text.slice(at, node.end)) if (character === ':') bounds.push(undefined);
    return this.other(node, bounds.filter((one) => one !== undefined), { kind: 'slice', bounds });
  }

  private lowerIf(node: SyntaxNode): void {
    const cases: { test?: Expression; body: Step[] }[] = [];
    const one = (clause: SyntaxNode): void => {
      const condition = child(clause, 'condition');
      let test: Expression | undefined;
      if (condition) {
        test = this.expression(condition);
        const lowered = test;
        this.collect(() => this.addStatement('expression', condition, lowered));
      }
      const rest = clause.children.filter((part) => part !== condition);
      const inner = rest.filter((part) => part.type !== 'elif_clause' && part.type !== 'else_clause');
      cases.push({ ...(test ? { test } : {}), body: this.collect(() => inner.forEach((part) => this.statement(part))) });
      rest.filter((part) => !inner.includes(part)).forEach(one);
    };
    one(node);
    this.step({ kind: 'if', span: spanOf(node), cases });
  }

  private lowerComprehension(node: SyntaxNode): Expression {
    const scope = this.newScope('function', node);
    const parts: Expression[] = [];
    let form: Form | undefined;
    this.loops.push(spanOf(node));
    this.inScope(scope, () => {
      for (const clause of node.children.filter((one) => one.type === 'for_in_clause')) {
        const left = child(clause, 'left');
        if (left) this.bindChanging(left);
      }
      for (const one of node.children) {
        const inside = one.type === 'for_in_clause' ? child(one, 'right') : one;
        if (inside && !isComment(inside)) parts.push(this.expression(inside));
      }
      form = this.comprehensionForm(node, parts);
    });
    return this.other(node, parts, form);
  }

  /** What a comprehension makes, from its parts: the element, then iterables and conditions in their order. */
  private comprehensionForm(node: SyntaxNode, parts: readonly Expression[]): Form | undefined {
    const [body, ...rest] = node.children.filter((one) => !isComment(one));
    const at = (one: SyntaxNode | undefined) => one && parts.find((part) => part.start === one.start || (part.start >= one.start && part.end <= one.end));
    if (!body || !parts[0]) return undefined;
    const clauses: { target: Expression; iterable: Expression; tests: Expression[] }[] = [];
    for (const one of rest) {
      if (one.type === 'for_in_clause') {
        const [left, iterable] = [child(one, 'left'), at(child(one, 'right'))];
        if (!left || !iterable) return undefined;
        clauses.push({ target: this.expression(left), iterable, tests: [] });
      } else {
        const test = one.type === 'if_clause' ? one.children[0] : undefined;
        const last = clauses.at(-1);
        if (!test || !last) return undefined;
        last.tests.push(this.expression(test));
      }
    }
    if (node.type !== 'dictionary_comprehension') return { kind: 'comprehension', element: parts[0], clauses };
    const [key, value] = [child(body, 'key'), child(body, 'value')];
    return key && value ? { kind: 'comprehension', key: this.expression(key), element: this.expression(value), clauses } : undefined;
  }

  private lowerImport(node: SyntaxNode): void {
    for (const one of node.children) {
      const name = one.type === 'aliased_import' ? child(one, 'name') : one;
      const alias = one.type === 'aliased_import' ? child(one, 'alias') : undefined;
      if (!name || name.type !== 'dotted_name') continue;
      const dotted = this.textOf(name);
      // `import a.b` binds `a`; `import a.b as c` binds `c` to a.b.
      const bound = alias ? this.textOf(alias) : (dotted.split('.')[0] ?? dotted);
      this.step({ kind: 'import', name: bound, module: alias ? dotted : bound });
      this.bind({ name: bound, kind: 'import', module: alias ? dotted : bound, span: spanOf(alias ?? name) });
    }
  }

  private lowerFromImport(node: SyntaxNode): void {
    const from = child(node, 'module_name');
    const module = from ? this.textOf(from) : '';
    for (const one of node.children) {
      if (one.type === 'wildcard_import') this.starImports.push(module);
      if (one === from || isComment(one)) continue;
      const name = one.type === 'aliased_import' ? child(one, 'name') : one;
      const alias = one.type === 'aliased_import' ? child(one, 'alias') : undefined;
      if (!name || name.type !== 'dotted_name') continue;
      this.step({ kind: 'import', name: this.textOf(alias ?? name), module: `${module}.${this.textOf(name)}` });
      this.bind({
        name: this.textOf(alias ?? name), kind: 'import', module: `${module}.${this.textOf(name)}`, span: spanOf(alias ?? name),
      });
    }
  }

  private lowerFunction(node: SyntaxNode): void {
    const name = child(node, 'name');
    const method = this.scope.kind === 'class' && !this.isStatic;
    const scope = this.newScope('function', node, name ? this.textOf(name) : undefined, this.isStatic);
    this.isStatic = false;
    if (name) {
      this.bind({ name: this.textOf(name), kind: 'definition', defines: scope, span: spanOf(name) });
      this.step({ kind: 'define', name: this.textOf(name), scope });
    }
    const parameters = child(node, 'parameters');
    // Defaults are evaluated where the function is defined, not inside it.
    if (parameters) this.lowerParameters(parameters, scope, method);
    const body = child(node, 'body');
    if (body) this.inScope(scope, () => this.statement(body));
  }

  private lowerParameters(list: SyntaxNode, scope: Scope, method: boolean): void {
    let position: number | undefined = method ? -1 : 0;
    for (const one of list.children) {
      if (isComment(one) || one.type === 'positional_separator') continue;
      if (one.type === 'keyword_separator') {
        position = undefined;
        continue;
      }
      const pattern = one.type === 'typed_parameter' ? one.children[0] : one;
      const rest = pattern?.type === 'list_splat_pattern' || pattern?.type === 'dictionary_splat_pattern';
      const name = rest ? pattern.children[0] : (child(one, 'name') ?? pattern);
      if (!name || name.type !== 'identifier') continue;
      const value = child(one, 'value');
      const initial = value ? this.expression(value) : undefined;
      if (initial) this.addStatement('default', value ?? one, initial);
      // The first parameter of a method is the instance (position -1).
      if (position === -1) {
        position = 0;
        continue;
      }
      this.addParameter(scope, {
        name: this.textOf(name),
        ...(initial ? { default: initial } : {}),
        ...(position === undefined || rest ? {} : { position }),
        ...(rest ? { rest } : {}),
        ...(pattern?.type === 'dictionary_splat_pattern' ? { keywords: true } : {}),
      }, name);
      if (rest) position = undefined;
      else if (position !== undefined) position++;
    }
  }

  private lowerClass(node: SyntaxNode): void {
    const name = child(node, 'name');
    const scope = this.newScope('class', node, name ? this.textOf(name) : undefined);
    this.isStatic = false;
    if (name) {
      this.bind({ name: this.textOf(name), kind: 'definition', defines: scope, span: spanOf(name) });
      this.step({ kind: 'define', name: this.textOf(name), scope });
    }
    const bases = child(node, 'superclasses');
    if (bases) scope.bases.push(...this.lowerArguments(bases).map((argument) => argument.value));
    const body = child(node, 'body');
    if (body) this.inScope(scope, () => this.statement(body));
  }

  private lowerAssignment(node: SyntaxNode): void {
    const left = child(node, 'left');
    const right = child(node, 'right');
    if (!left || !right) return;
    // `a = b = 16`
    if (right.type === 'assignment') this.lowerAssignment(right);
    let innermost = right;
    while (innermost.type === 'assignment') innermost = child(innermost, 'right') ?? innermost.children[0] ?? innermost;
    const value = this.expression(innermost);
    this.addStatement('assign', node, value, this.expression(left));
    this.bindTarget(left, value);
  }

  private lowerAugmented(node: SyntaxNode): void {
    const [left, right] = [child(node, 'left'), child(node, 'right')];
    if (!left || !right) return;
    const operator = child(node, 'operator');
    this.addStatement('augment', node, this.expression(right), this.expression(left), operator ? this.textOf(operator) : undefined);
    this.bindChanging(left);
  }

  private bindTarget(target: SyntaxNode, value: Expression): void {
    if (target.type === 'identifier') {
      this.bind({ name: this.textOf(target), kind: 'value', value, span: spanOf(target) });
    } else if (target.type === 'attribute') {
      const [object, name] = [child(target, 'object'), child(target, 'attribute')];
      const owner = this.scope.kind === 'function' ? enclosingClass(this.scope) : undefined;
      if (owner && object && name && this.textOf(object) === 'self') {
        this.bindAttribute(owner, { name: this.textOf(name), kind: 'value', value, span: spanOf(target) });
      }
    } else if (target.type === 'pattern_list' || target.type === 'tuple_pattern' || target.type === 'list_pattern') {
      target.children.forEach((one, index) => this.bindTarget(one, itemOf(value, index, one)));
    }
  }

  private bindChanging(target: SyntaxNode): void {
    if (target.type === 'identifier') {
      this.bind({ name: this.textOf(target), kind: 'changing', span: spanOf(target) });
    } else if (target.type === 'attribute') {
      const name = child(target, 'attribute');
      const owner = enclosingClass(this.scope);
      if (owner && name) this.bindAttribute(owner, { name: this.textOf(name), kind: 'changing', span: spanOf(target) });
    } else {
      target.children.forEach((one) => this.bindChanging(one));
    }
  }
}
