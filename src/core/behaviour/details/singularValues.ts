import { weightSpectrum } from '../../attributes/effectiveRank';
import { ParticlizeError } from '../../graph/errors';
import type { Detail } from './detail';

/** How strongly a layer's weights span each of their directions. */
export const singularValues: Detail = {
  name: 'singularValues', title: 'Singular values of the weights', of: 'layer', needs: 'weights',
  meaning: 'Singular values of the layer\'s weights, one row a particle, largest first: where they fall to nothing, particles repeat each other.',
  async compute({ graph, task }, { group }) {
    const spectrum = await weightSpectrum(graph, group, task);
    if (!spectrum || spectrum === 'tooLarge') {
      throw new ParticlizeError({ place: group.layer, cause: spectrum ? 'it has too many weights for their singular values to be computed here' : 'it has no weights of its own' });
    }
    return {
      kind: 'lines', x: Float32Array.from(spectrum, (_, index) => index + 1), xTitle: 'Direction', valueTitle: 'Singular value',
      series: [{ name: 'Singular value', values: Float32Array.from(spectrum) }],
    };
  },
};
