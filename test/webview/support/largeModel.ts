import type { PanelSnapshot } from '../../../src/compute/panelProtocol';
import type { ColumnData } from '../../../src/compute/protocol';

/** A model of so many particles in so many dense layers; its columns come without values, as the host sends large ones. */
export function largeModel(particles: number, layerCount: number): PanelSnapshot {
  let firstRow = 0;
  const layers = Array.from({ length: layerCount }, (_, i) => {
    // Later layers are wider, as in most models.
    const last = i === layerCount - 1;
    const count = last ? particles - firstRow : Math.round((particles * 2 * (i + 1)) / (layerCount * (layerCount + 1)));
    const layer = { name: `block${Math.floor(i / 4)}.dense${i % 4}`, type: 'Gemm', parameters: count * 64, macs: count * 64, next: [], particles: { kind: 'neuron' as const, count, firstRow } };
    firstRow += count;
    return layer;
  });
  const column = (name: string, title: string): ColumnData => ({
    name, title, unit: '', meaning: `${title} of the particle’s weights.`, scale: 'sequential', provenance: { source: 'weights', exact: true }, values: new Float32Array(),
  });
  return {
    summary: {
      model: 'large', path: 'models/large.onnx', format: 'onnx', formatTitle: 'ONNX', producer: 'test', sha256: '0'.repeat(64), sizeBytes: particles * 256,
      inputs: [], outputs: [], layers, particleCount: particles, parameters: particles * 64, macs: particles * 64, findings: [], writable: true,
    },
    columns: [column('l2', 'L2 norm'), column('l1', 'L1 norm'), column('weightMean', 'Weight mean')],
    engine: 'ONNX Runtime', selection: [], linkedLayers: [],
  };
}
