import type { DType } from '../../graph/tensor';

/** Element types of torch's typed storages, by the last part of their names. */
export const storageDtypes: Readonly<Record<string, DType>> = {
  FloatStorage: 'float32', DoubleStorage: 'float64', HalfStorage: 'float16', BFloat16Storage: 'bfloat16',
  LongStorage: 'int64', IntStorage: 'int32', ShortStorage: 'int16', CharStorage: 'int8', ByteStorage: 'uint8', BoolStorage: 'bool',
  ComplexFloatStorage: 'complex64', ComplexDoubleStorage: 'complex128', UntypedStorage: 'uint8',
};

/** Element types by the names that torch gives them: torch.float8_e4m3fn. */
export const torchDtypes: Readonly<Record<string, DType>> = {
  float32: 'float32', float: 'float32', float64: 'float64', double: 'float64', float16: 'float16', half: 'float16', bfloat16: 'bfloat16',
  float8_e4m3fn: 'float8e4m3fn', float8_e5m2: 'float8e5m2', float8_e4m3fnuz: 'float8e4m3fnuz', float8_e5m2fnuz: 'float8e5m2fnuz',
  int64: 'int64', long: 'int64', int32: 'int32', int: 'int32', int16: 'int16', short: 'int16', int8: 'int8', uint8: 'uint8',
  uint16: 'uint16', uint32: 'uint32', uint64: 'uint64', bool: 'bool',
  complex64: 'complex64', cfloat: 'complex64', complex128: 'complex128', cdouble: 'complex128',
};

/** Names that a weight file may refer to. They stay descriptions: nothing of them is imported or called. */
export function allowsTorchName(path: string): boolean {
  if (dataNames.has(path)) return true;
  const storage = /^torch(?:\.cuda|\.storage)?\.(\w+)$/.exec(path)?.[1];
  return storage !== undefined && (Object.hasOwn(storageDtypes, storage) || /^(Q|QU)Int\w+Storage$|^TypedStorage$/.test(storage)
    || (path.startsWith('torch.') && Object.hasOwn(torchDtypes, storage)) || quantisedDtypes.has(storage));
}

/** Also the module classes that TorchScript names, which are named there and defined by nothing in the pickle. */
export function allowsScriptName(path: string): boolean {
  return path.startsWith('__torch__.') || path.startsWith('torch.jit._pickle.') || allowsTorchName(path);
}

/** What torch.load(weights_only=True) accepts too, so that it may stay in a file that Particlize writes. */
export function isPlainName(path: string): boolean {
  return !extraNames.has(path);
}

const quantisedDtypes = new Set(['qint8', 'quint8', 'qint32', 'quint4x2', 'quint2x4', 'per_tensor_affine', 'per_channel_affine']);

/** Descriptions of settings that checkpoints like to carry and torch would not load without being told to. */
const extraNames = new Set([
  'argparse.Namespace', 'types.SimpleNamespace', 'pathlib.PosixPath', 'pathlib.WindowsPath', 'pathlib.PurePosixPath', 'pathlib.Path',
  'datetime.datetime', 'datetime.date', 'datetime.timedelta', 'collections.deque', 'uuid.UUID', 'decimal.Decimal',
  'numpy.core.multiarray.scalar', 'numpy._core.multiarray.scalar', 'numpy.core.multiarray._reconstruct', 'numpy._core.multiarray._reconstruct',
  'numpy.dtype', 'numpy.ndarray', 'builtins.range', '__builtin__.xrange', 'builtins.slice', '__builtin__.slice',
  'builtins.frozenset', '__builtin__.frozenset',
]);

const dataNames = new Set([
  ...extraNames,
  'collections.OrderedDict', 'collections.defaultdict', 'collections.Counter',
  'torch._utils._rebuild_tensor', 'torch._utils._rebuild_tensor_v2', 'torch._utils._rebuild_tensor_v3',
  'torch._utils._rebuild_parameter', 'torch._utils._rebuild_parameter_with_state', 'torch._utils._rebuild_qtensor',
  'torch._utils._rebuild_sparse_tensor', 'torch._utils._rebuild_sparse_csr_tensor', 'torch._utils._rebuild_meta_tensor_no_storage',
  'torch.Tensor', 'torch.nn.parameter.Parameter', 'torch.nn.parameter.Buffer',
  'torch.Size', 'torch.device', 'torch.serialization._get_layout',
  'torch.FloatTensor', 'torch.DoubleTensor', 'torch.HalfTensor', 'torch.LongTensor', 'torch.IntTensor', 'torch.ShortTensor',
  'torch.CharTensor', 'torch.ByteTensor', 'torch.BoolTensor', 'torch.cuda.FloatTensor', 'torch.cuda.HalfTensor', 'torch.cuda.LongTensor',
  'builtins.set', '__builtin__.set', 'builtins.complex', '__builtin__.complex', 'builtins.bytearray', '__builtin__.bytearray',
  'builtins.bytes', '__builtin__.bytes', 'builtins.int', '__builtin__.int', 'builtins.float', '__builtin__.float', 'builtins.dict',
  '__builtin__.dict', 'builtins.list', '__builtin__.list', '_codecs.encode', 'copy_reg._reconstructor', 'copyreg._reconstructor',
]);
