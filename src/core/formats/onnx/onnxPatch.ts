import type { ByteSource } from '../../graph/byteSource';
import type { Attribute, GraphNode, Shape } from '../../graph/modelGraph';
import type { DType, Tensor } from '../../graph/tensor';
import { messageOf, messagesOf, recordsOf, textOf, type ProtoMessage, type ProtoRecord } from '../containers/protobuf';
import { Chunks, encodeField, encodeMessage, patchMessage, type PlainMessage } from '../containers/protobufWriter';
import { attributeMessage, elementChunks, typeOfTensor, valueInfoMessage } from './onnxEncode';
import { attributeTypes, onnxTypes } from './onnxSchema';
import type { ExternalPlace } from './onnxTensors';

/** Changed copies of single messages of a file; what is not mentioned is copied byte for byte. */
export class OnnxPatcher {
  constructor(private readonly source: ByteSource) {}

  /** A TensorProto with other contents, in the file or (when `place` is given) in a data file. */
  tensor(message: ProtoMessage, content: Tensor | undefined, place: ExternalPlace | undefined): Chunks {
    const dropped = content ? [...dataFields, ...typeFields] : place ? dataFields : [];
    return this.without(message, dropped, {
      ...(content && typeOfTensor(content)),
      ...(place ? externalFields(place) : content && { raw_data: elementChunks(content) }),
    });
  }

  /** A Constant node with other contents; a short form (value_ints) becomes the general one. */
  constant(message: ProtoMessage, content: Tensor | undefined, place: ExternalPlace | undefined): Chunks {
    const edits = new Map<ProtoRecord, Chunks | undefined>();
    let value: Chunks | undefined;
    for (const record of recordsOf(message, 'attribute')) {
      const attribute = record.value as ProtoMessage;
      if (!/^value/.test(textOf(attribute, 'name'))) continue;
      const tensor = messageOf(attribute, 't');
      if (tensor) value = this.tensor(tensor, content, place);
      edits.set(record, undefined);
    }
    value ??= content && encodeMessage(onnxTypes.TensorProto, { ...typeOfTensor(content), raw_data: elementChunks(content) });
    return patchMessage(this.source, message, edits, { attribute: [{ name: 'value', t: value, type: attributeTypes.tensor }] });
  }

  /** A node with other inputs, and with some attributes set or (undefined) taken away. */
  node(message: ProtoMessage, inputs: readonly string[] | undefined, attributes: ReadonlyMap<string, Attribute | undefined>): Chunks {
    const edits = new Map<ProtoRecord, Chunks | undefined>();
    const type = onnxTypes.NodeProto;
    if (inputs) {
      recordsOf(message, 'input').forEach((record, index) => {
        const name = inputs[index];
        edits.set(record, name === undefined ? undefined : encodeField(new Chunks(), type.byName.get('input')!, name));
      });
    }
    const existing = new Set<string>();
    for (const record of recordsOf(message, 'attribute')) {
      const name = textOf(record.value as ProtoMessage, 'name');
      existing.add(name);
      if (!attributes.has(name)) continue;
      const attribute = attributes.get(name);
      edits.set(record, attribute && encodeField(new Chunks(), type.byName.get('attribute')!, attributeMessage(name, attribute)));
    }
    return patchMessage(this.source, message, edits, {
      input: inputs?.slice(recordsOf(message, 'input').length),
      attribute: [...attributes].flatMap(([name, attribute]) => (attribute && !existing.has(name) ? [attributeMessage(name, attribute)] : [])),
    });
  }

  /** A ValueInfoProto with another shape; names of unknown sizes stay. */
  valueInfo(message: ProtoMessage, dtype: DType | undefined, shape: Shape | undefined): Chunks {
    const tensorType = messageOf(message, 'type') && messageOf(messageOf(message, 'type')!, 'tensor_type');
    const dims = tensorType && messageOf(tensorType, 'shape') ? messagesOf(messageOf(tensorType, 'shape')!, 'dim') : [];
    const made = valueInfoMessage('', dtype, shape, (axis) => (dims[axis] && textOf(dims[axis], 'dim_param')) || undefined);
    return this.without(message, ['type'], { type: made.type });
  }

  private without(message: ProtoMessage, fields: readonly string[], added: PlainMessage): Chunks {
    const edits = new Map<ProtoRecord, undefined>();
    for (const field of fields) for (const record of recordsOf(message, field)) edits.set(record, undefined);
    return patchMessage(this.source, message, edits, added);
  }
}

/** Attributes in which two versions of a node differ, as the later one has them. */
export function changedAttributes(before: GraphNode, after: GraphNode): Map<string, Attribute | undefined> {
  const changed = new Map<string, Attribute | undefined>();
  if (before.attributes === after.attributes) return changed;
  for (const name of new Set([...Object.keys(before.attributes), ...Object.keys(after.attributes)])) {
    const [old, now] = [before.attributes[name], after.attributes[name]];
    if (!sameAttribute(old, now)) changed.set(name, now);
  }
  return changed;
}

function sameAttribute(a: Attribute | undefined, b: Attribute | undefined): boolean {
  if (a === b) return true;
  if (!a || !b || a.type !== b.type) return false;
  if (a.value === b.value) return true;
  return Array.isArray(a.value) && Array.isArray(b.value) && a.value.length === b.value.length
    && a.value.every((value, index) => Object.is(value, (b.value as readonly unknown[])[index]));
}

const dataFields = [
  'float_data', 'int32_data', 'string_data', 'int64_data', 'raw_data', 'double_data', 'uint64_data', 'external_data', 'data_location',
];
const typeFields = ['dims', 'data_type'];

function externalFields(place: ExternalPlace): PlainMessage {
  const entries = { location: place.location, offset: String(place.offset), length: String(place.length) };
  return { external_data: Object.entries(entries).map(([key, value]) => ({ key, value })), data_location: 1 };
}
