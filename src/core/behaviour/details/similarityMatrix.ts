import { agnes, type Cluster } from 'ml-hclust';
import { unitRows } from '../../attributes/similarity';
import { ParticlizeError, throwIfCancelled } from '../../graph/errors';
import type { Detail } from './detail';

/** Clustering takes the cube of this many steps: a second. */
const mostParticles = 384;
const mostWeights = 17e6;
/** Particles of one cluster have at least this mean cosine, up to sign. */
const alike = 0.7;

/**
 * Cosines between the weights of a layer's particles, in the order of a hierarchical clustering (average linkage on 1 - |cosine|;
 * Sokal and Michener 1958), so that groups of similar particles stand as blocks on the diagonal.
 */
export const similarityMatrix: Detail = {
  name: 'similarityMatrix', title: 'Similarity of weights', of: 'layer', needs: 'weights',
  meaning: 'Cosine between the weights of each two particles, similar ones side by side: blocks on the diagonal are clusters in which one may speak for the others.',
  applies: (_graph, { count }) => count > 2,
  async compute({ graph, table, task }, { group }) {
    if (group.count > mostParticles) {
      throw new ParticlizeError({ place: group.layer, cause: `it has ${group.count} particles, and only layers of up to ${mostParticles} are clustered here` });
    }
    const rows = await unitRows(graph, group);
    throwIfCancelled(task);
    const length = rows.row(0).length;
    if (length === 0 || length * group.count > mostWeights) {
      throw new ParticlizeError({ place: group.layer, cause: length === 0 ? 'it has no weights of its own' : 'it has too many weights to be compared here' });
    }
    const cosines = Array.from({ length: group.count }, (_, one) => Float64Array.from({ length: group.count }, (__, two) => dot(rows.row(one), rows.row(two))));
    throwIfCancelled(task);
    const distances = cosines.map((line, one) => Array.from(line, (cosine, two) => (one === two ? 0 : Math.max(0, 1 - Math.abs(cosine)))));
    const tree = agnes(distances, { method: 'average', isDistanceMatrix: true });
    const order = leaves(tree);
    const cluster = new Map<number, number>();
    const cuts = tree.cut(1 - alike).map((cut) => leaves(cut));
    cuts.sort((a, b) => order.indexOf(a[0]!) - order.indexOf(b[0]!)).forEach((members, index) => members.forEach((member) => cluster.set(member, index)));
    const names = order.map((particle) => table.id(group.firstRow + particle));
    return {
      kind: 'matrix', rows: names, columns: names, scale: 'diverging', rowTitle: 'Particle', columnTitle: 'Particle', valueTitle: 'Cosine',
      values: Float32Array.from(order.flatMap((one) => order.map((two) => cosines[one]![two]!))),
      clusters: Int32Array.from(order, (particle) => cluster.get(particle)!),
    };
  },
};

/** Indices below a node, in the order in which a tree would be drawn. */
function leaves(node: Cluster): number[] {
  return node.isLeaf ? [node.index] : node.children.flatMap(leaves);
}

function dot(one: Float32Array, two: Float32Array): number {
  let sum = 0;
  for (let k = 0; k < one.length; k++) sum += one[k]! * two[k]!;
  return sum;
}
