import { enclosingClass, isComment, itemOf, Lowering, spanOf } from './lowering';
import type { Argument, Entry, Expression, Parameter, Program, Scope } from './program';
import { child, type SyntaxNode, type SyntaxTree } from './syntaxTree';

/** A JavaScript, TypeScript or TSX syntax tree as a {@link Program}. */
export function lowerJavaScript(tree: SyntaxTree): Program {
  return new JavaScriptLowering(tree.text, tree.root).program(tree.root);
}

const branches = new Set(['if_statement', 'for_statement', 'for_in_statement', 'while_statement', 'do_statement', 'switch_statement', 'try_statement']);
const functions = new Set(['function_declaration', 'generator_function_declaration']);
const functionValues = new Set(['arrow_function', 'function_expression', 'generator_function', 'function']);
/** Wrappers that leave the value as it is. */
const transparent = new Set(['parenthesized_expression', 'as_expression', 'satisfies_expression', 'non_null_expression', 'await_expression']);
/** Methods that run their callback for each of several items. */
const repeating = new Set(['map', 'forEach', 'flatMap', 'reduce', 'from']);
const types = new Set(['interface_declaration', 'type_alias_declaration', 'type_annotation', 'comment', 'empty_statement', 'type_parameters', 'decorator']);

class JavaScriptLowering extends Lowering {
  protected lowerStatement(node: SyntaxNode): void {
    if (types.has(node.type)) return;
    if (branches.has(node.type)) return this.inBranch(node, () => this.lowerBranch(node));
    if (functions.has(node.type)) return this.lowerNamedFunction(node);
    switch (node.type) {
      case 'import_statement': return this.lowerImport(node);
      case 'class_declaration': case 'abstract_class_declaration': case 'class': this.lowerClass(node); return;
      case 'method_definition': return this.lowerNamedFunction(node);
      case 'field_definition': case 'public_field_definition': return this.lowerField(node);
      case 'variable_declarator': return this.lowerDeclarator(node);
      case 'return_statement': {
        const value = node.children.find((one) => !isComment(one));
        if (value) this.addStatement('return', node, this.expression(value));
        return;
      }
      case 'program': case 'statement_block': case 'class_body': case 'expression_statement': case 'lexical_declaration':
      case 'variable_declaration': case 'export_statement': case 'else_clause': case 'switch_body': case 'switch_case':
      case 'switch_default': case 'catch_clause': case 'finally_clause': case 'labeled_statement': case 'ERROR':
        return this.lowerChildren(node);
      default: {
        const value = this.expression(node);
        // Assignments are statements of their own and were added by their expression.
        if (node.type !== 'assignment_expression' && node.type !== 'augmented_assignment_expression') {
          this.addStatement('expression', node, value);
        }
      }
    }
  }

  protected lowerExpression(node: SyntaxNode): Expression {
    const at = { scope: this.scope, start: node.start, end: node.end };
    if (transparent.has(node.type)) {
      const inner = node.children.find((one) => !isComment(one));
      return inner ? this.expression(inner) : this.other(node, []);
    }
    if (types.has(node.type)) return this.other(node, []);
    if (functionValues.has(node.type)) {
      this.lowerFunctionBody(node, this.newScope('function', node));
      return this.other(node, []);
    }
    switch (node.type) {
      case 'number': {
        const value = Number(this.textOf(node).replaceAll('_', ''));
        return Number.isFinite(value) ? { kind: 'number', value, ...at } : this.other(node, []);
      }
      case 'string': case 'template_string': return this.lowerString(node);
      case 'true': return { kind: 'constant', value: true, ...at };
      case 'false': return { kind: 'constant', value: false, ...at };
      case 'null': case 'undefined': return { kind: 'constant', value: null, ...at };
      case 'identifier': case 'this': return { kind: 'name', name: this.textOf(node), ...at };
      case 'shorthand_property_identifier': return { kind: 'name', name: this.textOf(node), shorthand: true, ...at };
      case 'member_expression': {
        const [object, name] = [child(node, 'object'), child(node, 'property')];
        if (!object || !name) return this.otherWithParts(node);
        return { kind: 'member', object: this.expression(object), name: this.textOf(name), ...at };
      }
      case 'subscript_expression': {
        const [object, index] = [child(node, 'object'), child(node, 'index')];
        if (!object || !index) return this.otherWithParts(node);
        return { kind: 'subscript', object: this.expression(object), index: this.expression(index), ...at };
      }
      case 'call_expression': case 'new_expression': {
        const callee = child(node, 'function') ?? child(node, 'constructor');
        const list = child(node, 'arguments');
        if (!callee) return this.otherWithParts(node);
        const method = child(callee, 'property');
        if (list && method && repeating.has(this.textOf(method))) this.loops.push(spanOf(list));
        return { kind: 'call', callee: this.expression(callee), arguments: list ? this.lowerArguments(list) : [], ...at };
      }
      case 'array': case 'sequence_expression':
        return { kind: 'list', items: node.children.filter((one) => !isComment(one)).map((one) => this.expression(one)), ...at };
      case 'object': return { kind: 'dict', entries: this.lowerEntries(node), ...at };
      case 'unary_expression': {
        const [operator, operand] = [child(node, 'operator'), child(node, 'argument')];
        if (!operator || !operand) return this.otherWithParts(node);
        return { kind: 'unary', operator: this.textOf(operator), operand: this.expression(operand), ...at };
      }
      case 'binary_expression': {
        const [left, operator, right] = [child(node, 'left'), child(node, 'operator'), child(node, 'right')];
        if (!left || !operator || !right) return this.otherWithParts(node);
        return { kind: 'binary', operator: this.textOf(operator), left: this.expression(left), right: this.expression(right), ...at };
      }
      case 'spread_element': {
        const operand = node.children[0];
        return operand ? { kind: 'spread', operand: this.expression(operand), ...at } : this.other(node, []);
      }
      case 'assignment_expression': {
        const [left, right] = [child(node, 'left'), child(node, 'right')];
        if (!left || !right) return this.otherWithParts(node);
        const value = this.expression(right);
        this.addStatement('assign', node, value, this.expression(left));
        this.bindTarget(left, value);
        return value;
      }
      case 'augmented_assignment_expression': {
        const [left, right] = [child(node, 'left'), child(node, 'right')];
        if (!left || !right) return this.otherWithParts(node);
        const value = this.expression(right);
        this.addStatement('augment', node, value, this.expression(left));
        this.bindChanging(left);
        return value;
      }
      case 'update_expression': {
        const operand = child(node, 'argument');
        if (operand) this.bindChanging(operand);
        return this.otherWithParts(node);
      }
      case 'type_assertion': {
        const inner = node.children[node.children.length - 1];
        return inner ? this.expression(inner) : this.other(node, []);
      }
      case 'class': this.lowerClass(node); return this.other(node, []);
      default: return this.otherWithParts(node);
    }
  }

  private lowerBranch(node: SyntaxNode): void {
    if (node.type !== 'if_statement' && node.type !== 'switch_statement' && node.type !== 'try_statement') this.loops.push(spanOf(node));
    for (const one of node.children) {
      if (node.type === 'for_in_statement' && one.field === 'left') this.bindChanging(one);
      else if (one.type !== 'of' && one.type !== 'in') this.statement(one);
    }
  }

  /** The value of a plain string; of one with escapes or substitutions only its parts are known. */
  private lowerString(node: SyntaxNode): Expression {
    const parts = node.children.filter((one) => one.type === 'template_substitution');
    const fragment = node.children[0];
    const plain = node.children.length === 0 || (node.children.length === 1 && fragment?.type === 'string_fragment');
    if (!plain) return this.other(node, parts.flatMap((one) => one.children).map((one) => this.expression(one)));
    return {
      kind: 'string', value: fragment ? this.textOf(fragment) : '', ...(fragment ? { content: spanOf(fragment) } : {}),
      scope: this.scope, start: node.start, end: node.end,
    };
  }

  private lowerArguments(list: SyntaxNode): Argument[] {
    return list.children.filter((one) => !isComment(one)).map((one) => ({ value: this.expression(one) }));
  }

  private lowerEntries(node: SyntaxNode): Entry[] {
    const entries: Entry[] = [];
    for (const one of node.children) {
      if (isComment(one)) continue;
      const [key, value] = [child(one, 'key'), child(one, 'value')];
      if (one.type === 'pair' && key && value) {
        entries.push({ key: this.keyOf(key), value: this.expression(value) });
      } else if (one.type === 'shorthand_property_identifier') {
        entries.push({ key: this.keyOf(one), value: this.expression(one) });
      } else if (one.type === 'method_definition') {
        this.lowerFunctionBody(one, this.newScope('function', one));
      } else {
        entries.push({ value: this.expression(one) });
      }
    }
    return entries;
  }

  private keyOf(node: SyntaxNode): Expression {
    if (node.type === 'property_identifier' || node.type === 'shorthand_property_identifier' || node.type === 'shorthand_property_identifier_pattern') {
      return { kind: 'string', value: this.textOf(node), scope: this.scope, start: node.start, end: node.end };
    }
    const inner = node.type === 'computed_property_name' ? node.children[0] : node;
    return inner ? this.expression(inner) : this.other(node, []);
  }

  private lowerNamedFunction(node: SyntaxNode): void {
    const name = child(node, 'name');
    const scope = this.newScope('function', node, name ? this.textOf(name) : undefined);
    if (name) this.bind({ name: this.textOf(name), kind: 'definition', defines: scope, span: spanOf(name) });
    this.lowerFunctionBody(node, scope);
  }

  private lowerFunctionBody(node: SyntaxNode, scope: Scope): void {
    this.inScope(scope, () => {
      const parameters = child(node, 'parameters')?.children ?? [child(node, 'parameter')];
      parameters.filter((one) => one && !isComment(one)).forEach((one, position) => this.lowerParameter(one!, scope, position));
      const body = child(node, 'body');
      if (!body) return;
      if (body.type === 'statement_block') this.statement(body);
      else this.addStatement('return', body, this.expression(body));
    });
  }

  private lowerParameter(node: SyntaxNode, scope: Scope, position: number): void {
    const isDefault = node.type === 'assignment_pattern';
    const pattern = isDefault ? child(node, 'left') : (child(node, 'pattern') ?? node);
    const value = isDefault ? child(node, 'right') : child(node, 'value');
    if (!pattern) return;
    const initial = value ? this.expression(value) : undefined;
    if (initial && value) this.addStatement('default', value, initial);
    if (pattern.type === 'identifier') {
      this.addParameter(scope, { name: this.textOf(pattern), position, ...(initial ? { default: initial } : {}) }, pattern);
      const isProperty = node.children.some((one) => one.type === 'accessibility_modifier');
      const owner = isProperty ? enclosingClass(scope) : undefined;
      // `constructor(private width = 16)` stores it on the instance.
      if (owner) {
        const stored: Expression = { kind: 'name', name: this.textOf(pattern), scope, start: pattern.end, end: pattern.end };
        this.bindAttribute(owner, { name: this.textOf(pattern), kind: 'value', value: stored, span: spanOf(pattern) });
      }
    } else if (pattern.type === 'rest_pattern') {
      const name = pattern.children[0];
      if (name?.type === 'identifier') this.addParameter(scope, { name: this.textOf(name), rest: true }, name);
    } else if (pattern.type === 'object_pattern') {
      for (const { name, key, initial: fallback } of this.patternEntries(pattern)) {
        const parameter: Parameter = { name: this.textOf(name), position, property: key, ...(fallback ? { default: fallback } : {}) };
        this.addParameter(scope, parameter, name);
      }
    }
  }

  /** `{ a, b: c, d = 1 }` as the names that it binds, the keys that they come from and their defaults. */
  private patternEntries(pattern: SyntaxNode): { name: SyntaxNode; key: string; initial?: Expression }[] {
    const entries: { name: SyntaxNode; key: string; initial?: Expression }[] = [];
    for (const one of pattern.children) {
      const key = child(one, 'key');
      const value = one.type === 'pair_pattern' ? child(one, 'value') : one;
      if (!value) continue;
      const isDefault = value.type === 'object_assignment_pattern' || value.type === 'assignment_pattern';
      const name = isDefault ? child(value, 'left') : value;
      const right = isDefault ? child(value, 'right') : undefined;
      if (!name || (name.type !== 'identifier' && name.type !== 'shorthand_property_identifier_pattern')) continue;
      const initial = right ? this.expression(right) : undefined;
      if (initial && right) this.addStatement('default', right, initial);
      entries.push({ name, key: this.textOf(key ?? name), ...(initial ? { initial } : {}) });
    }
    return entries;
  }

  private lowerClass(node: SyntaxNode): void {
    const name = child(node, 'name');
    const scope = this.newScope('class', node, name ? this.textOf(name) : undefined);
    if (name) this.bind({ name: this.textOf(name), kind: 'definition', defines: scope, span: spanOf(name) });
    const body = child(node, 'body');
    if (body) this.inScope(scope, () => this.statement(body));
  }

  private lowerField(node: SyntaxNode): void {
    const [name, value] = [child(node, 'name') ?? child(node, 'property') ?? node.children[0], child(node, 'value')];
    if (!name || !value) return;
    const lowered = this.expression(value);
    this.addStatement('assign', node, lowered, { kind: 'name', name: this.textOf(name), scope: this.scope, start: name.start, end: name.end });
    this.bind({ name: this.textOf(name), kind: 'value', value: lowered, span: spanOf(name) });
  }

  private lowerDeclarator(node: SyntaxNode): void {
    const [name, value] = [child(node, 'name'), child(node, 'value')];
    if (!name) return;
    // `let model;` first, a value later.
    if (!value) return;
    if (functionValues.has(value.type)) {
      const scope = this.newScope('function', value, this.textOf(name));
      this.bind({ name: this.textOf(name), kind: 'definition', defines: scope, span: spanOf(name) });
      return this.lowerFunctionBody(value, scope);
    }
    const lowered = this.expression(value);
    const target: Expression = name.type === 'identifier' ? this.expression(name) : this.other(name, []);
    this.addStatement('assign', node, lowered, target);
    this.bindTarget(name, lowered);
  }

  private bindTarget(target: SyntaxNode, value: Expression): void {
    if (target.type === 'identifier') {
      this.bind({ name: this.textOf(target), kind: this.importedModule(value) ? 'import' : 'value', value, span: spanOf(target), ...this.importedModule(value) });
    } else if (target.type === 'member_expression') {
      const [object, name] = [child(target, 'object'), child(target, 'property')];
      const owner = enclosingClass(this.scope);
      if (owner && object?.type === 'this' && name) {
        this.bindAttribute(owner, { name: this.textOf(name), kind: 'value', value, span: spanOf(target) });
      }
    } else if (target.type === 'array_pattern') {
      target.children.forEach((one, index) => this.bindTarget(one, itemOf(value, index, one)));
    } else if (target.type === 'object_pattern') {
      for (const { name, key } of this.patternEntries(target)) {
        const member: Expression = { kind: 'member', object: value, name: key, scope: this.scope, start: name.start, end: name.end };
        const module = this.importedModule(value)?.module;
        const imported = module === undefined ? {} : { module: `${module}.${key}` };
        this.bind({ name: this.textOf(name), kind: module === undefined ? 'value' : 'import', value: member, span: spanOf(name), ...imported });
      }
    }
  }

  /** The module of `require('...')` or `await import('...')`. */
  private importedModule(value: Expression): { module: string } | undefined {
    if (value.kind !== 'call') return undefined;
    const { callee } = value;
    const imports = callee.kind === 'name' ? callee.name === 'require' : callee.kind === 'other' && callee.type === 'import';
    if (!imports) return undefined;
    const argument = value.arguments[0]?.value;
    return argument?.kind === 'string' ? { module: argument.value } : undefined;
  }

  private bindChanging(target: SyntaxNode): void {
    if (target.type === 'identifier' || target.type === 'shorthand_property_identifier_pattern') {
      this.bind({ name: this.textOf(target), kind: 'changing', span: spanOf(target) });
    } else if (target.type === 'member_expression') {
      const name = child(target, 'property');
      const owner = enclosingClass(this.scope);
      if (owner && name) this.bindAttribute(owner, { name: this.textOf(name), kind: 'changing', span: spanOf(target) });
    } else {
      target.children.forEach((one) => this.bindChanging(one));
    }
  }

  private lowerImport(node: SyntaxNode): void {
    const source = child(node, 'source');
    const text = source ? this.expression(source) : undefined;
    const module = text?.kind === 'string' ? text.value : '';
    const clause = node.children.find((one) => one.type === 'import_clause');
    for (const one of clause?.children ?? []) {
      if (one.type === 'identifier') this.bind({ name: this.textOf(one), kind: 'import', module, span: spanOf(one) });
      if (one.type === 'namespace_import') {
        const name = one.children[0];
        if (name) this.bind({ name: this.textOf(name), kind: 'import', module, span: spanOf(name) });
      }
      for (const specifier of one.type === 'named_imports' ? one.children : []) {
        const [name, alias] = [child(specifier, 'name'), child(specifier, 'alias')];
        if (!name) continue;
        this.bind({ name: this.textOf(alias ?? name), kind: 'import', module: `${module}.${this.textOf(name)}`, span: spanOf(alias ?? name) });
      }
    }
  }
}
