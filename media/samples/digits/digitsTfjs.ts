/** The digits network in TensorFlow.js. */

import * as tf from '@tensorflow/tfjs';

const CONV1_FILTERS = 16;
const CONV2_FILTERS = 32;
const DENSE1_UNITS = 64;

/** Images [N, 8, 8, 1] with ink from 0 to 1 -> probabilities [N, 10]. */
export function buildModel(): tf.Sequential {
  return tf.sequential({
    name: 'digits',
    layers: [
      tf.layers.conv2d({
        name: 'conv1', filters: CONV1_FILTERS, kernelSize: 3, padding: 'same', activation: 'relu',
        inputShape: [8, 8, 1],
      }),
      tf.layers.conv2d({
        name: 'conv2', filters: CONV2_FILTERS, kernelSize: 3, padding: 'same', activation: 'relu',
      }),
      tf.layers.maxPooling2d({ name: 'pool', poolSize: 2 }),
      tf.layers.flatten({ name: 'flatten' }),
      tf.layers.dense({ name: 'dense1', units: DENSE1_UNITS, activation: 'relu' }),
      tf.layers.dense({ name: 'dense2', units: 10, activation: 'softmax' }),
    ],
  });
}

/** The trained network, ready to predict; throws when the weights do not fit the definition above. */
export async function load(saved: string | tf.io.IOHandler = 'tfjs/model.json'): Promise<tf.Sequential> {
  const model = buildModel();
  const weights = (await tf.loadLayersModel(saved)).getWeights();
  model.setWeights(weights);
  return model;
}
