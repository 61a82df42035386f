// The readers under test, their seeds, and the words of their formats. Each reads an input to its end, as a command
// would: what is opened is read, what is read is written again.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { readPickle } from '../../dist/checkpoint/pickle.js';
import { writePickle } from '../../dist/checkpoint/pickle-writer.js';
import { importOptimizer } from '../../dist/checkpoint/reference-optimizer.js';
import { SafetensorsFile } from '../../dist/checkpoint/safetensors-reader.js';
import { moduleStateDict, stateDictOf } from '../../dist/checkpoint/state-dict.js';
import { TensorAliases } from '../../dist/checkpoint/tensor-aliases.js';
import { readTorchArchive } from '../../dist/checkpoint/torch-archive.js';
import { findTorchGlobal, StorageTable } from '../../dist/checkpoint/torch-globals.js';
import { TorchStorages, writeTorchArchive } from '../../dist/checkpoint/torch-writer.js';
import { WritableTree } from '../../dist/checkpoint/writable-tree.js';
import { pickleSeeds, pickleWords } from './pickles.mjs';

// In memory where that is there: the readers are under test, not the disk.
const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'cae-fuzz-'));
const path = join(folder, 'input');
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const floats = Buffer.from(Float32Array.from({ length: 12 }, (_, i) => i).buffer);

/** What a command does with an object out of a PyTorch file: finds weights, reads them, writes all of it again. */
function use(tree) {
  let state;
  for (const find of [() => stateDictOf(tree, 'x'), () => moduleStateDict(tree, 'x').tensors]) {
    try {
      state ??= find();
    } catch (error) {
      if (error.name !== 'UserError') throw error;
    }
  }
  for (const tensor of new TensorAliases().ofAll(state ?? new Map()).values()) tensor.read();
  const tree2 = new WritableTree('x', new TorchStorages(), new TensorAliases());
  writePickle(tree2.convert(tree), 'x');
  if (tree instanceof Map && tree.has('optimizer'))
    importOptimizer(tree.get('optimizer'), state ?? new Map(), 'x');
}

/** A zip archive of stored or deflated records, whose checksums are right whatever is in them. */
function zipOf(records, deflate = false) {
  const bodies = [];
  const directory = [];
  let offset = 0;
  for (const [name, data] of records) {
    const packed = deflate ? deflateRawSync(data) : data;
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(deflate ? 8 : 0, 4);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(name.length, 22);
    bodies.push(Buffer.from('PK\x03\x04'), common, Buffer.from(name), packed);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.from('PK\x01\x02'), Buffer.from([20, 0]), common, tail, Buffer.from(name));
    offset += 30 + name.length + packed.length;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(records.length, 4);
  end.writeUInt16LE(records.length, 6);
  end.writeUInt32LE(list.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...bodies, list, Buffer.from('PK\x05\x06'), end]);
}

function readFile(bytes) {
  writeFileSync(path, bytes);
  return readTorchArchive(path, { allowModules: true });
}

/** A whole archive of this program's own. */
async function writtenArchive() {
  const bytes = { dtype: 'F32', shape: [3, 4], byteLength: 48, read: () => new Uint8Array(floats) };
  await writeTorchArchive(
    path,
    (storages) => new Map([['model', storages.stateDict(new Map([['w', bytes]]))]]),
  );
  return readFileSync(path);
}

/** The old layout around a pickle. */
function legacyOf(pickle) {
  // Only a storage that a tensor refers to may be listed.
  const storages = pickle.includes('FloatStorage');
  const count = Buffer.alloc(8);
  count.writeBigUInt64LE(12n);
  const text = (value) => Buffer.from([0x58, value.length, 0, 0, 0, ...Buffer.from(value)]);
  return Buffer.concat([
    Buffer.from('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}', 'latin1'),
    text('little_endian'),
    Buffer.from('\x88s.', 'latin1'),
    pickle,
    Buffer.from('\x80\x02]', 'latin1'),
    ...(storages ? [text('0'), Buffer.from('a.'), count, floats] : [Buffer.from('.')]),
  ]);
}

function safetensorsOf(header, data) {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, data]);
}

const safetensorsSeeds = [
  safetensorsOf({ w: { dtype: 'F32', shape: [3, 4], data_offsets: [0, 48] } }, floats),
  safetensorsOf(
    {
      __metadata__: { format: 'pt', config: '{"a":1}' },
      'encoder.x': { dtype: 'BF16', shape: [2, 3], data_offsets: [0, 12] },
      0: { dtype: 'F16', shape: [6], data_offsets: [12, 24] },
      i: { dtype: 'I64', shape: [], data_offsets: [24, 32] },
      empty: { dtype: 'U8', shape: [0, 9], data_offsets: [32, 32] },
      b: { dtype: 'BOOL', shape: [16], data_offsets: [32, 48] },
    },
    floats,
  ),
  safetensorsOf({}, Buffer.alloc(0)),
];
const safetensorsWords = [
  ...[
    '"dtype"',
    '"shape"',
    '"data_offsets"',
    '"__metadata__"',
    '"__proto__"',
    '"constructor"',
    '"F32"',
    '"I64"',
  ],
  ...[
    '[',
    ']',
    '{',
    '}',
    ',',
    ':',
    '-1',
    '1e999',
    '4294967296',
    '9007199254740993',
    '0.5',
    'null',
    'true',
    '""',
  ],
  ...['\\u0000', '\\ud800', '[[[[[[[[', '{"a":{"a":{"a":', '18446744073709551615', '[4294967296,4294967296]'],
].map((word) => Buffer.from(word));

function readSafetensors(bytes) {
  writeFileSync(path, bytes);
  const file = SafetensorsFile.open(path);
  try {
    for (const name of file.names()) {
      const { dtype } = file.info(name);
      file.read(name);
      if (dtype.includes('F')) file.readFloat32(name);
    }
  } finally {
    file.close();
  }
}

const zipWords = [
  ...[
    'PK\x03\x04',
    'PK\x01\x02',
    'PK\x05\x06',
    'PK\x06\x06',
    'PK\x06\x07',
    'x/data.pkl',
    'x/data/0',
    '../',
    'byteorder',
  ],
].map((word) => Buffer.from(word, 'latin1'));

/** Each: seeds, words, and `run`, which gets a mutated seed. `seal` wraps it in what must be whole around it. */
export async function makeTargets() {
  const archived = (pickle, deflate = false) =>
    zipOf(
      [
        ['x/data.pkl', pickle],
        ['x/data/0', floats],
      ],
      deflate,
    );
  return {
    pickle: {
      seeds: pickleSeeds,
      words: pickleWords,
      run(bytes) {
        const table = new StorageTable();
        const persistentLoad = (id, context) => {
          const view = table.request(id, context);
          view.storage.source = {
            size: view.storage.byteLength,
            read: (_, length) => new Uint8Array(Math.min(length, 64)),
          };
          return view;
        };
        readPickle(bytes, { source: 'x', findGlobal: findTorchGlobal(true), persistentLoad });
      },
    },
    'pickle in zip': {
      seeds: pickleSeeds,
      words: pickleWords,
      run: (bytes) => use(readFile(archived(bytes))),
    },
    zip: {
      seeds: [archived(pickleSeeds[0]), archived(pickleSeeds[0], true), await writtenArchive()],
      words: zipWords,
      run: (bytes) => use(readFile(bytes)),
    },
    legacy: {
      seeds: pickleSeeds.map(legacyOf),
      words: pickleWords,
      run: (bytes) => use(readFile(bytes)),
    },
    safetensors: {
      seeds: safetensorsSeeds,
      words: safetensorsWords,
      run(bytes, random) {
        // Mostly with a length that fits again, so that the header itself is what is wrong.
        if (bytes.length >= 8 && random(4) > 0) {
          const end = bytes.lastIndexOf(0x7d);
          if (end >= 8) bytes.writeBigUInt64LE(BigInt(end - 7), 0);
        }
        readSafetensors(bytes);
      },
    },
  };
}
