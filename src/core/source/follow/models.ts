import type { LayerInstance } from '../definition';
import { keras } from '../keras';
import type { CallNode, NumberNode, Program } from '../program';
import { containers, notLayers, pytorch } from '../pytorch';
import { Interpreter, TooMuch, type FollowHooks } from './interpreter';
import { textOf, type Arguments } from './interpreter';
import { unknownValue, type ContainerValue, type ModuleValue, type Value } from './values';

/** A model that code makes: from a class, a function or the file itself. */
export interface FollowedModel {
  /** 'ResNet', 'build_model', 'model'. */
  readonly name: string;
  /** In the order of the model, for PyTorch; in the order in which they are made, for Keras. */
  readonly layers: readonly FollowedLayer[];
  /** The model itself, where it is one of PyTorch, and what to go on following it with. */
  readonly root?: Value;
  readonly follow?: Interpreter;
  readonly hooks?: FollowHooks;
}

export interface FollowedLayer {
  readonly call: CallNode;
  readonly instance: LayerInstance;
  readonly module: ModuleValue;
  /** Its numbers by parameter, those that are no sizes as well: what an edit must leave as it is. */
  readonly sizes: ReadonlyMap<string, Value>;
}

/** A file with more models than this is a collection of them. */
const mostModels = 60;

/**
 * The models that a Python file can make, each followed from where it starts: what the file itself builds, then each
 * function and class that nothing before has used, with its default arguments. Bounded; what is too long is left out.
 */
export function followModels(program: Program, overrides?: ReadonlyMap<NumberNode, number>): FollowedModel[] {
  if (program.root.body.length === 0) return [];
  return new ModelFinder(program, overrides).models();
}

class ModelFinder {
  private created: ModuleValue[] = [];
  private readonly follow: Interpreter;
  private readonly found: FollowedModel[] = [];
  private readonly hooks: FollowHooks = { native: (name, given, call) => nativeCall(name, given, call, (module) => this.created.push(module)) };

  constructor(program: Program, overrides?: ReadonlyMap<NumberNode, number>) {
    this.follow = new Interpreter(program, this.hooks, overrides);
  }

  models(): FollowedModel[] {
    const { follow } = this;
    this.guarded(() => follow.run());
    this.collect('the file', [...follow.root.values].filter(([, value]) => value.kind !== 'class' && value.kind !== 'function'));
    const starts = [...follow.root.values].filter(([, value]) => value.kind === 'function').concat([...follow.root.values].filter(([, value]) => value.kind === 'class'));
    for (const [name, start] of starts) {
      if (this.found.length >= mostModels) break;
      if ((start.kind !== 'function' && start.kind !== 'class') || follow.called.has(start.scope)) continue;
      if (start.kind === 'class' && !isModel(follow.nativeBases(start))) {
        this.methods(name, start);
        continue;
      }
      follow.refill();
      this.created = [];
      let made: Value | undefined;
      this.guarded(() => (made = follow.call(start, { positional: [], keywords: new Map() }, start.scope.span)));
      this.collect(name, made ? [['', made]] : []);
    }
    return this.found;
  }

  /** A class that is no layer itself may build a model in a method. */
  private methods(name: string, type: Value & { kind: 'class' }): void {
    const { follow } = this;
    follow.refill();
    this.created = [];
    let instance: Value | undefined;
    this.guarded(() => (instance = follow.instantiate(type, { positional: [], keywords: new Map() }, type.scope.span)));
    for (const [method, value] of type.env.values) {
      if (value.kind !== 'function' || method.startsWith('__') || follow.called.has(value.scope) || !instance) continue;
      this.guarded(() => void follow.call(follow.memberOf(instance!, method, type.scope.span), { positional: [], keywords: new Map() }, type.scope.span));
    }
    this.collect(name, instance ? [['', instance]] : []);
  }

  private guarded(body: () => void): void {
    try {
      body();
    } catch (error) {
      if (!(error instanceof TooMuch)) throw error;
    }
  }

  private collect(name: string, values: readonly (readonly [string, Value])[]): void {
    const torch: { name: string; root: Value; layers: FollowedLayer[] }[] = [];
    for (const [variable, value] of values) {
      const layers = treeLayers(value, variable || name);
      if (layers.length > 0) torch.push({ name: variable || name, root: value, layers });
    }
    // A part of another model is no model of its own.
    const own = torch.filter((one) => !torch.some((other) => other !== one && other.layers.length > one.layers.length
      && one.layers.every((layer) => other.layers.some(({ module }) => module === layer.module))));
    this.found.push(...own.map((one) => ({ ...one, follow: this.follow, hooks: this.hooks })));
    const made = this.created.filter((module) => module.framework === 'keras');
    if (made.length > 0) this.found.push({ name, layers: countedLayers(made, name) });
    this.created = [];
  }
}

/** Layers of a PyTorch model with the paths that its state dict has. */
function treeLayers(root: Value, model: string): FollowedLayer[] {
  const layers: FollowedLayer[] = [];
  const seen = new Set<Value>();
  const walk = (value: Value, path: string): void => {
    if (seen.has(value) || layers.length > 20_000) return;
    const next = (key: string): string => (path ? `${path}.${key}` : key);
    switch (value.kind) {
      case 'module':
        seen.add(value);
        if (value.framework === 'pytorch') layers.push(followed(value, model, layers.length, path === '' ? undefined : path, false));
        return;
      case 'container':
        seen.add(value);
        value.children.forEach((child, key) => walk(child, next(key)));
        return;
      case 'instance':
        seen.add(value);
        value.container?.children.forEach((child, key) => walk(child, next(key)));
        value.fields.forEach((child, key) => walk(child, next(key)));
        return;
      default:
    }
  };
  walk(root, '');
  return layers;
}

/** Layers of a Keras model in the order in which they are made, by the names that Keras gives them. */
function countedLayers(made: readonly ModuleValue[], model: string): FollowedLayer[] {
  const counts = new Map<string, number>();
  return made.map((module, place) => {
    const given = module.keywords.get('name');
    const name = given && textOf(given);
    if (name !== undefined) return followed(module, model, place, name, false);
    if (given?.kind === 'unknown') return followed(module, model, place, undefined, false);
    const base = countedName(module.type);
    const count = counts.get(base) ?? 0;
    counts.set(base, count + 1);
    return followed(module, model, place, count === 0 ? base : `${base}_${count}`, true);
  });
}

/** 'BatchNormalization' is 'batch_normalization', 'Conv2D' is 'conv2d'. */
function countedName(type: string): string {
  return type.replace(/(.)([A-Z][a-z]+)/g, '$1_$2').replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase();
}

function followed(module: ModuleValue, model: string, place: number, path: string | undefined, counted: boolean): FollowedLayer {
  const reader = module.framework === 'keras' ? keras : pytorch;
  const sizes = new Map<string, Value>();
  for (const [, argument, position] of reader.parametersOf(module.type)) {
    const value = module.keywords.get(argument) ?? (position === undefined ? undefined : module.positional[position]);
    if (value) sizes.set(argument, value);
  }
  const numbers = [...sizes].flatMap(([argument, value]) => (value.kind === 'number' ? [[argument, value.value] as const] : []));
  return {
    call: module.call, module, sizes,
    instance: { model, place, ...(path === undefined ? {} : { path }), ...(counted ? { counted } : {}), sizes: Object.fromEntries(numbers) },
  };
}

function isModel(bases: readonly string[]): boolean {
  return bases.some((name) => /(Module|Model|Layer|Sequential|ModuleList|ModuleDict|Network|Block)$/.test(name));
}

function nativeCall(name: string, given: Arguments, call: CallNode, created: (module: ModuleValue) => void): Value | undefined {
  const torch = pytorch.layerOf(name);
  if (torch && containers.has(torch)) return torch === 'Module' ? undefined : containerOf(torch as ContainerValue['type'], given, call);
  if (torch && !notLayers.has(torch) && !torch.endsWith('Loss')) {
    const module: ModuleValue = { kind: 'module', framework: 'pytorch', type: torch, call, ...given };
    created(module);
    return module;
  }
  const type = torch ? undefined : keras.layerOf(name);
  if (type) {
    const module: ModuleValue = { kind: 'module', framework: 'keras', type, call, ...given };
    created(module);
    return module;
  }
  const last = name.split('.').at(-1)!;
  const [first] = given.positional;
  // `spectral_norm(nn.Conv2d(...))` keeps the layer's path.
  if (first && (first.kind === 'module' || first.kind === 'instance') && /(_norm|compile|script|DataParallel|parallel)$/.test(last)) return first;
  if (/^(tf\.|tensorflow\.)?(tf_)?keras\b/.test(name)) return last === 'Sequential' && /Sequential$/.test(name) ? containerOf('Sequential', { ...given, keywords: new Map() }, call) : unknownValue('it is an object of Keras', call);
  return undefined;
}

function containerOf(type: ContainerValue['type'], { positional, keywords }: Arguments, call: CallNode): ContainerValue {
  const children = new Map<string, Value>();
  const [first] = positional;
  if (type === 'ModuleDict' || (type === 'Sequential' && first?.kind === 'dict')) {
    if (first?.kind === 'dict') first.entries.forEach((value, key) => children.set(key, value));
    else if (first?.kind === 'list') {
      for (const pair of first.items) {
        const key = pair.kind === 'list' && pair.items[0] ? textOf(pair.items[0]) : undefined;
        if (key !== undefined && pair.kind === 'list' && pair.items[1]) children.set(key, pair.items[1]);
      }
    }
  } else {
    let next = 0;
    const add = (value: Value): void => {
      if (value.kind === 'list') {
        for (const item of value.items) children.set(value.open ? '*' : String(next++), item);
      } else children.set(String(next++), value);
    };
    if (type === 'ModuleList') {
      if (first?.kind === 'container') first.children.forEach((value, key) => children.set(key, value));
      else if (first) add(first);
    } else positional.forEach(add);
  }
  void keywords;
  return { kind: 'container', type, children, call };
}
