import type { Span } from './definition';
import { callsOf, sizesOf, type FoundLayer, type FrameworkReader, type SizeParameter } from './frameworkReader';
import type { CallNode, Expression, Scope, Statement } from './program';
import type { Scopes } from './scopes';

/** PyTorch: attributes of modules, and the members of Sequential, ModuleList and ModuleDict by their paths. */
export const pytorch: FrameworkReader = {
  framework: 'pytorch',
  languages: ['python'],
  find: (scopes) => {
    const names = new ModuleNames(scopes);
    return callsOf(scopes.program).flatMap(({ call }): FoundLayer[] => {
      const type = moduleType(call, scopes);
      if (!type || containers.has(type) || notLayers.has(type) || type.endsWith('Loss')) return [];
      const place = names.of(call);
      return [{
        framework: 'pytorch',
        ...(place ? { name: place.name } : {}),
        named: place !== undefined,
        type: `nn.${type}`,
        call,
        anchor: place?.anchor ?? { start: call.callee.start, end: call.callee.end },
        sizes: sizesOf(call, parametersOf(type), scopes),
      }];
    });
  },
  layerOf: (qualified) => typeOf(qualified.split('.')),
  parametersOf,
};

const convolution: readonly SizeParameter[] = [['inputWidth', 'in_channels', 0], ['width', 'out_channels', 1], ['groups', 'groups', 6]];
const lazyConvolution: readonly SizeParameter[] = [['width', 'out_channels', 0], ['groups', 'groups', 5]];
const features: readonly SizeParameter[] = [['inputWidth', 'num_features', 0]];
const recurrent: readonly SizeParameter[] = [['inputWidth', 'input_size', 0], ['width', 'hidden_size', 1]];

const parameters: Readonly<Record<string, readonly SizeParameter[]>> = {
  Conv1d: convolution, Conv2d: convolution, Conv3d: convolution,
  ConvTranspose1d: convolution, ConvTranspose2d: convolution, ConvTranspose3d: convolution,
  LazyConv1d: lazyConvolution, LazyConv2d: lazyConvolution, LazyConv3d: lazyConvolution,
  Linear: [['inputWidth', 'in_features', 0], ['width', 'out_features', 1]],
  LazyLinear: [['width', 'out_features', 0]],
  BatchNorm1d: features, BatchNorm2d: features, BatchNorm3d: features, SyncBatchNorm: features,
  InstanceNorm1d: features, InstanceNorm2d: features, InstanceNorm3d: features,
  GroupNorm: [['inputWidth', 'num_channels', 1]],
  LayerNorm: [['inputWidth', 'normalized_shape', 0]],
  PReLU: [['inputWidth', 'num_parameters', 0]],
  LSTM: recurrent, GRU: recurrent, RNN: recurrent,
  Embedding: [['width', 'embedding_dim', 1]],
  MultiheadAttention: [['inputWidth', 'embed_dim', 0], ['width', 'num_heads', 1]],
};

function parametersOf(type: string): readonly SizeParameter[] {
  return Object.hasOwn(parameters, type) ? parameters[type]! : [];
}

export const containers: ReadonlySet<string> = new Set(['Sequential', 'ModuleList', 'ModuleDict', 'Module']);
export const notLayers: ReadonlySet<string> = new Set(['Parameter', 'ParameterList', 'ParameterDict', 'UninitializedParameter', 'DataParallel']);

/** 'Conv2d' of 'torch.nn.Conv2d'; undefined for what is no module of PyTorch. */
function moduleType(call: CallNode, scopes: Scopes): string | undefined {
  const segments = scopes.qualifiedName(call.callee)?.split('.') ?? [];
  const type = segments.at(-1) ?? '';
  const first = type[0] ?? '';
  if (first === first.toLowerCase()) return undefined;
  if (segments.length === 1) return scopes.program.starImports.includes('torch.nn') ? type : undefined;
  return typeOf(segments);
}

function typeOf(segments: readonly string[]): string | undefined {
  const type = segments.at(-1) ?? '';
  const first = type[0] ?? '';
  if (first === first.toLowerCase()) return undefined;
  const fromTorch = segments[0] === 'torch' ? segments[1] === 'nn' : segments[0] === 'nn' && segments.length === 2;
  return fromTorch ? type : undefined;
}

interface Place {
  readonly name: string;
  readonly anchor: Span;
}

/** Gives every module call the path that the state dict knows it by, as far as the containers around it say. */
class ModuleNames {
  private readonly places = new Map<CallNode, Place>();
  /** Where modules of a class of this file are kept: 'block1' for `self.block1 = Block(16)`. */
  private readonly instances = new Map<Scope, string[]>();
  private depth = 0;
  /** Containers that hold one another many times over are not a model. */
  private remaining = 1_000_000;
  private remainingHere = 0;

  constructor(private readonly scopes: Scopes) {
    for (const statement of scopes.program.statements) {
      this.remainingHere = 5_000;
      this.nameStatement(statement);
    }
  }

  of(call: CallNode): Place | undefined {
    const place = this.places.get(call);
    if (!place) return undefined;
    const owner = classOf(call.scope);
    const instances = owner ? (this.instances.get(owner) ?? []) : [];
    return instances.length === 1 ? { ...place, name: join(instances[0]!, place.name) } : place;
  }

  private nameStatement({ kind, target, value }: Statement): void {
    if (kind === 'assign' && target?.kind === 'member') {
      this.nameModule(value, target.name, target);
    } else if (kind === 'assign' && target?.kind === 'name') {
      this.nameModule(value, '', target, target.name);
    } else if (kind === 'return') {
      this.nameModule(value, '');
    } else if (kind === 'expression' && value.kind === 'call' && value.callee.kind === 'member') {
      const { callee } = value;
      const [first, second] = value.arguments.map((argument) => argument.value);
      const added = callee.name === 'add_module' || callee.name === 'register_module';
      if (added && first?.kind === 'string' && second) this.nameModule(second, first.value);
      // A subclass of nn.Sequential hands its members to its base.
      else if (callee.name === '__init__') this.nameMembers(value.arguments.map((argument) => argument.value), '');
      else this.nameModule(value, '');
    }
  }

  /** `path` is '' for a model of its own, whose members are known by their places in it alone. */
  private nameModule(expression: Expression, path: string, anchor?: Span, variable?: string): void {
    if (this.depth > 60 || this.remaining-- <= 0 || this.remainingHere-- <= 0) return;
    this.depth++;
    const call = this.callBehind(expression);
    if (call) this.nameCall(call, path, anchor, variable);
    else if (expression.kind === 'other') expression.parts.forEach((part) => this.nameModule(part, path));
    this.depth--;
  }

  private nameCall(call: CallNode, path: string, anchor?: Span, variable?: string): void {
    const given = call.arguments.map((argument) => argument.value);
    switch (moduleType(call, this.scopes)) {
      case 'Sequential': {
        const only = given.length === 1 ? this.dictionary(given[0]!) : undefined;
        return only ? this.nameEntries(only, path) : this.nameMembers(given, path);
      }
      case 'ModuleList': return given[0] ? this.nameMembers(this.items(given[0]), path) : undefined;
      case 'ModuleDict': {
        const entries = given[0] ? this.dictionary(given[0]) : undefined;
        return entries ? this.nameEntries(entries, path) : undefined;
      }
      case undefined: break;
      default: {
        const name = path || variable;
        const known = this.places.get(call);
        // A variable's name gives way to the place that the module is put in afterwards.
        if (name && (!known || path)) this.places.set(call, { name, anchor: known?.anchor ?? span(anchor ?? call.callee) });
        return;
      }
    }
    const own = this.scopes.resolveFully(call.callee);
    if (own.kind === 'definition' && own.scope.kind === 'class') {
      if (!path) return;
      const list = this.instances.get(own.scope);
      if (list) list.push(path);
      else this.instances.set(own.scope, [path]);
    } else if (call.callee.kind === 'member' && call.callee.object.kind === 'call') {
      // `nn.Conv2d(...).to(device)`
      this.nameModule(call.callee.object, path, anchor, variable);
    } else if (given[0]?.kind === 'call') {
      // `weight_norm(nn.Conv2d(...))`
      this.nameModule(given[0], path, anchor, variable);
    }
  }

  private nameMembers(members: readonly Expression[], path: string): void {
    const all = members.flatMap((one) => (one.kind === 'spread' ? this.items(one.operand) : [one]));
    all.forEach((one, index) => this.nameModule(one, join(path, String(index))));
  }

  private nameEntries(entries: readonly (readonly [string, Expression])[], path: string): void {
    for (const [key, value] of entries) this.nameModule(value, join(path, key));
  }

  private callBehind(expression: Expression): CallNode | undefined {
    const resolved = this.scopes.resolveFully(expression);
    return resolved.kind === 'expression' && resolved.expression.kind === 'call' ? resolved.expression : undefined;
  }

  private items(expression: Expression): readonly Expression[] {
    const resolved = this.scopes.resolveFully(expression);
    return resolved.kind === 'expression' && resolved.expression.kind === 'list' ? resolved.expression.items : [];
  }

  /** Keys and values of a dictionary, `OrderedDict([(key, value), ...])` or `OrderedDict({...})`. */
  private dictionary(expression: Expression, depth = 0): (readonly [string, Expression])[] | undefined {
    const resolved = this.scopes.resolveFully(expression);
    if (resolved.kind !== 'expression' || depth > 8) return undefined;
    const found = resolved.expression;
    if (found.kind === 'dict') {
      return found.entries.flatMap(({ key, value }) => (key?.kind === 'string' ? [[key.value, value] as const] : []));
    }
    if (found.kind === 'call') {
      const name = this.scopes.qualifiedName(found.callee)?.split('.').at(-1);
      if (name !== 'OrderedDict' && name !== 'dict') return undefined;
      const keywords = found.arguments.flatMap(({ name: key, value }) => (key === undefined ? [] : [[key, value] as const]));
      if (keywords.length > 0) return keywords;
      const first = found.arguments[0]?.value;
      if (!first) return undefined;
      return this.dictionary(first, depth + 1) ?? this.items(first).flatMap((pair) => {
        const [key, value] = pair.kind === 'list' ? pair.items : [];
        return key?.kind === 'string' && value ? [[key.value, value] as const] : [];
      });
    }
    return undefined;
  }
}

function classOf(scope: Scope): Scope | undefined {
  for (let one: Scope | undefined = scope; one; one = one.parent) if (one.kind === 'class') return one;
  return undefined;
}

function join(path: string, name: string): string {
  return path ? `${path}.${name}` : name;
}

function span({ start, end }: Span): Span {
  return { start, end };
}
