import type { Tensor } from '../graph/tensor';

/** Tensors whose names differ only in their last part: the weights of one module. */
export interface Module {
  /** Unique among the modules. */
  readonly name: string;
  readonly parameters: readonly Parameter[];
}

export interface Parameter {
  /** The last part of the name: 'weight', 'running_mean', 'weight_ih_l0'. */
  readonly role: string;
  readonly tensor: Tensor;
}

/** Modules in the order in which their first tensors come. */
export function modulesOf(tensors: readonly Tensor[]): Module[] {
  const strip = wrapperPrefix(tensors);
  const byName = new Map<string, Parameter[]>();
  for (const tensor of tensors) {
    const { module, role } = splitName(tensor.name.slice(strip.length));
    const list = byName.get(module);
    if (list) list.push({ role, tensor });
    else byName.set(module, [{ role, tensor }]);
  }
  return [...byName].map(([name, parameters]) => ({ name, parameters }));
}

/** What training wrappers (DataParallel, torch.compile) put in front of every name; '' when it is not in front of all. */
function wrapperPrefix(tensors: readonly Tensor[]): string {
  let prefix = '';
  for (;;) {
    const next = wrappers.find((wrapper) => tensors.length > 0 && tensors.every(({ name }) => name.startsWith(prefix + wrapper)));
    if (!next) return prefix;
    prefix += next;
  }
}

const wrappers = ['module.', '_orig_mod.'];

/** Parameters that lie in the root of a state dict belong to the model itself. */
const rootModule = 'model';

function splitName(name: string): { readonly module: string; readonly role: string } {
  const at = Math.max(name.lastIndexOf('.'), name.lastIndexOf('/'));
  if (at > 0 && at < name.length - 1) return { module: name.slice(0, at), role: name.slice(at + 1) };
  if (rootWords.test(name)) return { module: rootModule, role: name };
  // conv1_weight, fc_b: what writers without a module tree do.
  const flat = /^(.+?)_(weight|bias|kernel|gamma|beta|running_mean|running_var|moving_mean|moving_var(?:iance)?|w|b)$/i.exec(name);
  return flat ? { module: flat[1]!, role: flat[2]! } : { module: name || rootModule, role: name || 'weight' };
}

const rootWords = /^(weight|bias|kernel|gamma|beta|running_mean|running_var|num_batches_tracked|(weight|bias)_(ih|hh)(_l\d+)?(_reverse)?|in_proj_(weight|bias))$/;
