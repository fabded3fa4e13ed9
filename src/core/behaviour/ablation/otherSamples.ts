import { seededRandom } from '../../graph/seededRandom';

/**
 * For each sample another one, never itself, drawn from the seed: one cycle through all of them (Sattolo, "An algorithm to
 * generate a random cyclic permutation", 1986). One sample alone gets itself.
 */
export function otherSamples(count: number, seed: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, index) => index);
  const random = seededRandom(seed);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * last);
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
}
