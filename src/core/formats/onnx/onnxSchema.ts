import type { DType } from '../../graph/tensor';
import { protoTypes } from '../containers/protobuf';

/**
 * The messages of an ONNX file (https://github.com/onnx/onnx, IR specification): field numbers and types. Fields that
 * Particlize has no use for are left out; being unknown, they are kept as they are when a file is written.
 */
export const onnxTypes = protoTypes({
  ModelProto: {
    ir_version: '1 int64', producer_name: '2 string', producer_version: '3 string', domain: '4 string',
    graph: '7 GraphProto', opset_import: '8 OperatorSetIdProto*', functions: '25 FunctionProto*',
  },
  OperatorSetIdProto: { domain: '1 string', version: '2 int64' },
  FunctionProto: {
    name: '1 string', input: '4 string*', output: '5 string*', attribute: '6 string*', node: '7 NodeProto*',
    opset_import: '9 OperatorSetIdProto*', domain: '10 string', attribute_proto: '11 AttributeProto*', overload: '13 string',
  },
  GraphProto: {
    node: '1 NodeProto*', name: '2 string', initializer: '5 TensorProto*', input: '11 ValueInfoProto*',
    output: '12 ValueInfoProto*', value_info: '13 ValueInfoProto*', sparse_initializer: '15 SparseTensorProto*',
  },
  NodeProto: {
    input: '1 string*', output: '2 string*', name: '3 string', op_type: '4 string', attribute: '5 AttributeProto*',
    domain: '7 string', overload: '8 string', metadata_props: '9 StringStringEntryProto*',
  },
  AttributeProto: {
    name: '1 string', f: '2 float', i: '3 int64', s: '4 bytes', t: '5 TensorProto', g: '6 GraphProto',
    floats: '7 float*', ints: '8 int64*', strings: '9 bytes*', tensors: '10 TensorProto*', graphs: '11 GraphProto*',
    type: '20 enum', ref_attr_name: '21 string',
  },
  TensorProto: {
    dims: '1 int64*', data_type: '2 int32', float_data: '4 float* lazy', int32_data: '5 int32* lazy',
    string_data: '6 bytes* lazy', int64_data: '7 int64* lazy', name: '8 string', raw_data: '9 bytes lazy',
    double_data: '10 double* lazy', uint64_data: '11 uint64* lazy', external_data: '13 StringStringEntryProto*',
    data_location: '14 enum',
  },
  SparseTensorProto: { values: '1 TensorProto' },
  StringStringEntryProto: { key: '1 string', value: '2 string' },
  ValueInfoProto: { name: '1 string', type: '2 TypeProto' },
  TypeProto: {
    tensor_type: '1 TensorType', sequence_type: '4 OtherType', map_type: '5 OtherType', optional_type: '9 OtherType',
  },
  TensorType: { elem_type: '1 int32', shape: '2 TensorShapeProto' },
  OtherType: {},
  TensorShapeProto: { dim: '1 Dimension*' },
  Dimension: { dim_value: '1 int64', dim_param: '2 string' },
});

/** TensorProto.DataType. */
export const onnxDtypeCodes: Readonly<Record<DType, number>> = {
  float32: 1, uint8: 2, int8: 3, uint16: 4, int16: 5, int32: 6, int64: 7, string: 8, bool: 9, float16: 10, float64: 11,
  uint32: 12, uint64: 13, complex64: 14, complex128: 15, bfloat16: 16, float8e4m3fn: 17, float8e4m3fnuz: 18,
  float8e5m2: 19, float8e5m2fnuz: 20, uint4: 21, int4: 22,
};

const dtypesByCode = new Map(Object.entries(onnxDtypeCodes).map(([dtype, code]) => [code, dtype as DType]));

/** undefined for element types that Particlize does not know. */
export function dtypeOfCode(code: number): DType | undefined {
  return dtypesByCode.get(code);
}

/** AttributeProto.AttributeType. */
export const attributeTypes = {
  float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8, tensors: 9, graphs: 10,
} as const;
