/**
 * Numbers 0..count - 1 in an order that follows from seed and round (epoch) alone, so that nothing of it has to be remembered:
 * Fisher and Yates' shuffle.
 */
export function randomOrder(count: number, seed: number, round: number): Uint32Array {
  const random = randomNumbers(seed, round);
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let left = count - 1; left > 0; left--) {
    const other = Math.floor(random() * (left + 1));
    [order[left], order[other]] = [order[other]!, order[left]!];
  }
  return order;
}

/** 0 with chance `ratio`, else what keeps the mean: the mask of a dropout, the same for the same seed and round. */
export function dropoutMask(length: number, ratio: number, seed: number, round: number): Float32Array {
  const random = randomNumbers(seed ^ 0x5bd1e995, round);
  const kept = 1 / (1 - ratio);
  return Float32Array.from({ length }, () => (random() < ratio ? 0 : kept));
}

/** In [0, 1), 32 bits each: a Weyl sequence through the finaliser of MurmurHash3. */
function randomNumbers(seed: number, round: number): () => number {
  let state = mixed((seed >>> 0) + Math.imul(round + 1, 0x9e3779b9));
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    return mixed(state) / 2 ** 32;
  };
}

function mixed(value: number): number {
  let hash = value >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
