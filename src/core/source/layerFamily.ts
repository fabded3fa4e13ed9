/** What a layer does, whatever its framework calls it. */
export type LayerFamily =
  | 'convolution' | 'transposedConvolution' | 'depthwiseConvolution' | 'separableConvolution'
  | 'dense' | 'normalisation' | 'recurrent' | 'embedding' | 'attention' | 'pooling' | 'flatten' | 'dropout' | 'activation';

/** The family of a type: 'Conv2D', 'nn.Conv2d', 'tf.layers.conv2d', ONNX's 'Conv'; undefined for what is not known. */
export function familyOf(type: string): LayerFamily | undefined {
  const last = type.split(/[./:]/).at(-1) ?? type;
  const name = last.toLowerCase().replaceAll('_', '');
  if (Object.hasOwn(families, name)) return families[name];
  const withoutRank = name.replace(/[123]d(transpose)?$/, '$1');
  return Object.hasOwn(families, withoutRank) ? families[withoutRank] : undefined;
}

/** Depthwise convolutions are written as convolutions in PyTorch and ONNX. */
export function sameFamily(a: LayerFamily, b: LayerFamily): boolean {
  return a === b || (isConvolution(a) && isConvolution(b));
}

/** What the particles of a layer are called: '16 → 9 kernels'. */
export function particlesOf(type: string): string {
  switch (familyOf(type)) {
    case 'convolution': case 'transposedConvolution': case 'depthwiseConvolution': case 'separableConvolution': return 'kernels';
    case 'dense': return 'neurons';
    case 'recurrent': return 'units';
    case 'attention': return 'heads';
    case 'embedding': return 'factors';
    default: return 'channels';
  }
}

function isConvolution(family: LayerFamily): boolean {
  return family === 'convolution' || family === 'depthwiseConvolution';
}

const families: Readonly<Record<string, LayerFamily>> = {
  conv: 'convolution', convolution: 'convolution', lazyconv: 'convolution', fusedconv: 'convolution',
  convtranspose: 'transposedConvolution', lazyconvtranspose: 'transposedConvolution',
  depthwiseconv: 'depthwiseConvolution',
  separableconv: 'separableConvolution',
  dense: 'dense', linear: 'dense', lazylinear: 'dense', gemm: 'dense', matmul: 'dense', fusedgemm: 'dense',
  batchnorm: 'normalisation', batchnormalization: 'normalisation', syncbatchnorm: 'normalisation',
  layernorm: 'normalisation', layernormalization: 'normalisation', groupnorm: 'normalisation', groupnormalization: 'normalisation',
  instancenorm: 'normalisation', instancenormalization: 'normalisation',
  lstm: 'recurrent', gru: 'recurrent', rnn: 'recurrent', simplernn: 'recurrent',
  lstmcell: 'recurrent', grucell: 'recurrent', simplernncell: 'recurrent',
  embedding: 'embedding', gather: 'embedding',
  multiheadattention: 'attention', attention: 'attention',
  maxpool: 'pooling', maxpooling: 'pooling', avgpool: 'pooling', averagepool: 'pooling', averagepooling: 'pooling',
  globalaveragepool: 'pooling', globalaveragepooling: 'pooling', globalmaxpool: 'pooling', globalmaxpooling: 'pooling',
  adaptiveavgpool: 'pooling', adaptivemaxpool: 'pooling',
  flatten: 'flatten', dropout: 'dropout', spatialdropout: 'dropout',
  relu: 'activation', sigmoid: 'activation', tanh: 'activation', softmax: 'activation', gelu: 'activation', elu: 'activation',
  leakyrelu: 'activation', activation: 'activation', prelu: 'activation', silu: 'activation',
};
