import type { Attribute, GraphNode, Shape } from '../../graph/modelGraph';
import { bytesPerElement, elementCount, type DType, type NdArray, type Tensor } from '../../graph/tensor';
import { Chunks, encodeMessage, type PlainMessage } from '../containers/protobufWriter';
import { attributeTypes, onnxDtypeCodes, onnxTypes } from './onnxSchema';
import { bytesOf } from './onnxTensors';

/** A TensorProto whose elements are read when they are written. Not for texts. */
export function tensorMessage(name: string, tensor: Pick<Tensor, 'dtype' | 'shape' | 'read'>): PlainMessage {
  return { ...typeOfTensor(tensor), name, raw_data: elementChunks(tensor) };
}

export function typeOfTensor({ dtype, shape }: Pick<Tensor, 'dtype' | 'shape'>): PlainMessage {
  return { dims: shape, data_type: onnxDtypeCodes[dtype] };
}

/** A tensor's elements as ONNX stores them. */
export function elementChunks(tensor: Pick<Tensor, 'dtype' | 'shape' | 'read'>): Chunks {
  if (tensor.dtype === 'string') throw new Error('texts have no raw form');
  const sizeBytes = Math.ceil(elementCount(tensor.shape) * bytesPerElement[tensor.dtype]);
  return new Chunks().add({ sizeBytes, read: async () => bytesOf(await tensor.read()) });
}

export function nodeMessage(node: GraphNode): PlainMessage {
  return {
    name: node.name, op_type: node.op, domain: node.domain || undefined, input: node.inputs, output: node.outputs,
    attribute: Object.entries(node.attributes).map(([name, attribute]) => attributeMessage(name, attribute)),
  };
}

export function attributeMessage(name: string, attribute: Attribute): PlainMessage | Chunks {
  switch (attribute.type) {
    case 'int': return { name, i: attribute.value, type: attributeTypes.int };
    case 'float': return { name, f: attribute.value, type: attributeTypes.float };
    case 'string': return { name, s: attribute.value, type: attributeTypes.string };
    case 'ints': return { name, ints: attribute.value, type: attributeTypes.ints };
    case 'floats': return { name, floats: attribute.value, type: attributeTypes.floats };
    case 'strings': return { name, strings: attribute.value, type: attributeTypes.strings };
    case 'tensor': return { name, t: tensorMessage('', inMemory(attribute.value)), type: attributeTypes.tensor };
    case 'graph': return { name, g: new Chunks().add(attribute.value), type: attributeTypes.graph };
    case 'raw': return new Chunks().add(attribute.value);
  }
}

/** A ValueInfoProto; no shape when it is left out, and unknown sizes where it has null. */
export function valueInfoMessage(name: string, dtype: DType | undefined, shape?: Shape, dimName?: (axis: number) => string | undefined): PlainMessage {
  if (!dtype) return { name };
  const dims = shape?.map((size, axis): PlainMessage => {
    if (size !== null) return { dim_value: size };
    const known = dimName?.(axis);
    return known ? { dim_param: known } : {};
  });
  return { name, type: { tensor_type: { elem_type: onnxDtypeCodes[dtype], ...(dims && { shape: { dim: dims } }) } } };
}

export function encodeModel(model: PlainMessage): Chunks {
  return encodeMessage(onnxTypes.ModelProto, model);
}

function inMemory(array: NdArray): Pick<Tensor, 'dtype' | 'shape' | 'read'> {
  return { dtype: array.dtype, shape: array.shape, read: () => Promise.resolve(array) };
}
