// Seeded changes to bytes: what a damaged download, a bad disk or somebody with intent makes of a file.

/** Reproducible integers in [0, bound): mulberry32. */
export function seededRandom(seed) {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

/** Sizes and offsets at the edges of their types. */
const edges = [
  0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe,
  0xffffffff, 0x100000000, 0x7fffffffffff, 0x1fffffffffffff, 0x20000000000000,
];

/** An edge value in 2, 4 or 8 bytes, in either byte order. */
function edgeBytes(random) {
  const width = [2, 4, 8][random(3)];
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(edges[random(edges.length)]));
  const narrow = bytes.subarray(0, width);
  return random(4) === 0 ? narrow.reverse() : narrow;
}

/**
 * `input` after one to six changes: bits and bytes replaced, parts removed, doubled, moved, cut off, overwritten with
 * another file's, edge values and words of the format put in.
 *
 * @param words pieces that mean something in the format
 * @param other another input to take parts from
 */
export function mutate(input, random, words, other) {
  let bytes = Buffer.from(input);
  // Mostly one: after several, little gets past the first check.
  const changes = random(3) > 0 ? 1 : 2 + random(5);
  for (let i = 0; i < changes && bytes.length > 0; i++) {
    const at = random(bytes.length);
    const length = Math.min(1 + random(random(4) === 0 ? 256 : 8), bytes.length - at);
    const insert = (piece) => {
      bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
    };
    switch (random(10)) {
      case 0:
        bytes[at] ^= 1 << random(8);
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 3:
        insert(bytes.subarray(at, at + length));
        break;
      case 4:
        edgeBytes(random).copy(bytes, at);
        break;
      case 5:
        insert(edgeBytes(random));
        break;
      case 6:
        if (words.length > 0) insert(words[random(words.length)]);
        break;
      case 7:
        if (words.length > 0) words[random(words.length)].copy(bytes, at);
        break;
      case 8: {
        const from = random(Math.max(1, other.length));
        other.copy(bytes, at, from, from + length);
        break;
      }
      default:
        if (random(6) === 0) bytes = bytes.subarray(0, at);
        else bytes.copyWithin(at, random(bytes.length), bytes.length);
    }
  }
  return bytes;
}
