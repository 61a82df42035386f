import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { PickledObject, type PickleValue } from '../../lib/checkpoint/pickle-values.js';
import { moduleStateDict, stateDictOf } from '../../lib/checkpoint/state-dict.js';
import { readTorchArchive } from '../../lib/checkpoint/torch-archive.js';
import { fixture } from '../fixtures.js';
import { bytesOf, makeZip, mutate, seededRandom, u32, u64, userErrorOf } from './support.js';
import { floats, save, tensorCode, tensorsIn, text, valuesOf } from './torch-support.js';

describe('files that are no checkpoint', () => {
  test.each<[string, Uint8Array, RegExp]>([
    ['empty', new Uint8Array(0), /neither a zip archive nor a pickle/],
    ['text', bytesOf('hello, world, this is text\n'), /neither a zip archive nor a pickle/],
    [
      'a plain pickle',
      bytesOf('\x80\x02}q\x00K\x01K\x02s.aaaaaaaaaaaaa'),
      /neither a zip archive nor a pickle/,
    ],
    [
      'a zip of something else',
      makeZip([{ name: 'word/document.xml', data: bytesOf('x') }]),
      /without data\.pkl/,
    ],
    [
      'big-endian',
      makeZip([
        { name: 'x/data.pkl', data: bytesOf('N.') },
        { name: 'x/byteorder', data: bytesOf('big') },
      ]),
      /big-endian/,
    ],
    [
      'os.system',
      makeZip([
        { name: 'x/data.pkl', data: bytesOf('\x80\x02cos\nsystem\n', text('touch pwned'), '\x85R.') },
      ]),
      /asks for os\.system, which is not allowed/,
    ],
  ])('%s', (_, bytes, message) => {
    for (const allowModules of [false, true]) {
      expect(userErrorOf(() => readTorchArchive(save(bytes), { allowModules }))).toMatch(message);
    }
    expect(existsSync('pwned')).toBe(false);
  });

  test('with modules allowed, only those of models are', () => {
    const ask = (module: string, name: string): string | undefined =>
      userErrorOf(() =>
        readTorchArchive(
          save(makeZip([{ name: 'x/data.pkl', data: bytesOf(`\x80\x02c${module}\n${name}\n.`) }])),
          {
            allowModules: true,
          },
        ),
      );
    expect(ask('torch.nn.modules.conv', 'Conv2d')).toBeUndefined();
    expect(ask('functools', 'partial')).toBeUndefined();
    for (const [module, name] of [
      ['torch.hub', 'load'],
      ['torch.nn.modules.evil/..', 'x'],
      ['torch.nn.modules', 'a.b'],
      ['torch.nnx', 'X'],
      ['dall_evil', 'X'],
      ['builtins', 'exec'],
      ['functools', 'reduce'],
    ] as const) {
      expect(ask(module, name)).toMatch(/not allowed/);
    }
  });

  test('names with line ends and control sequences are shown without them', () => {
    const key = 'a\n\x1b[2J';
    const pickle = bytesOf('\x80\x02}', text('w'), tensorCode(key, 12, 0, [12], [1]), 's.');
    const path = save(makeZip([{ name: 'x/data.pkl', data: pickle }]));
    expect(userErrorOf(() => readTorchArchive(path))).toMatch(/record data\/a\?\?\[2J is missing/);
  });

  test('no weights in it', () => {
    for (const [code, message] of [
      ['}.', /holds no weights/],
      ['N.', /holds no weights/],
      [']q\x00h\x00a.', /holds no weights/],
    ] as const) {
      const path = save(makeZip([{ name: 'x/data.pkl', data: bytesOf('\x80\x02', code) }]));
      const tree = readTorchArchive(path);
      expect(userErrorOf(() => stateDictOf(tree, path))).toMatch(message);
      expect(userErrorOf(() => moduleStateDict(tree, path))).toMatch(/no pickled module/);
    }
  });

  test('modules that contain themselves, or seem endless, end', () => {
    const loop = new PickledObject('torch.nn', 'Sequential', []);
    loop.state = new Map<PickleValue, PickleValue>([['_modules', new Map([['0', loop]])]]);
    expect(userErrorOf(() => moduleStateDict(loop, 'x'))).toMatch(/nest without end/);
    let shared: PickledObject = new PickledObject('torch.nn', 'ReLU', []);
    shared.state = new Map<PickleValue, PickleValue>([['_modules', new Map()]]);
    for (let level = 0; level < 40; level++) {
      const parent = new PickledObject('torch.nn', 'Sequential', []);
      parent.state = new Map([
        [
          '_modules',
          new Map([
            ['0', shared],
            ['1', shared],
          ]),
        ],
      ]);
      shared = parent;
    }
    expect(userErrorOf(() => moduleStateDict(shared, 'x'))).toMatch(/nest without end/);
  });

  test('the old layout in protocol 4, whose pickles stand in frames', () => {
    const frame = (...code: (string | Uint8Array)[]): Uint8Array => {
      const body = bytesOf(...code);
      return bytesOf('\x80\x04\x95', u64(body.length), body);
    };
    const path = save(
      bytesOf(
        frame('\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.'),
        frame('M\xe9\x03.'),
        frame('}', text('little_endian'), '\x88s.'),
        frame('}', text('w'), tensorCode('0', 12, 1, [2, 2], [4, 2]), 's.'),
        frame(']', text('0'), 'a.'),
        u64(12),
        floats,
      ),
    );
    expect(valuesOf(path)).toEqual([1, 3, 5, 7]);
  });

  test('the old layout truncated, and with a storage that lies', () => {
    const original = new Uint8Array(readFileSync(fixture('reference_checkpoint_legacy.pth')));
    const path = save(original);
    for (const length of [10, 15, 30, 200, 20_000, 35_000, 38_900, 100_000, original.length - 1]) {
      writeFileSync(path, original.subarray(0, length));
      expect(userErrorOf(() => readTorchArchive(path))).toContain(path);
    }
    const firstCount = 38_803; // where the pickles end
    const lying = original.slice();
    lying[firstCount] = (lying[firstCount] as number) + 1;
    writeFileSync(path, lying);
    expect(userErrorOf(() => readTorchArchive(path))).toMatch(
      /storage \d+ has \d+ elements where its tensors need/,
    );
    lying.set(original);
    lying[firstCount + 7] = 0x7f;
    writeFileSync(path, lying);
    expect(userErrorOf(() => readTorchArchive(path))).toMatch(/elements where/);
  });

  test('1500 mutated archives of both layouts give tensors or a UserError, nothing else', () => {
    const random = seededRandom(31);
    const path = save(new Uint8Array(0));
    const pickle = bytesOf('\x80\x02}', text('w'), tensorCode('0', 12, 1, [2, 2], [4, 2]), 's.');
    const legacy = bytesOf(
      '\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}',
      text('little_endian'),
      '\x88s.',
      pickle,
      '\x80\x02]',
      text('0'),
      'a.',
      u32(12),
      u32(0),
      floats,
    );
    let refused = 0;
    for (let i = 0; i < 1500; i++) {
      const bytes =
        i % 2 === 0
          ? makeZip([
              { name: 'x/data.pkl', data: mutate(pickle, random) },
              { name: 'x/data/0', data: floats },
            ])
          : mutate(legacy, random);
      writeFileSync(path, i === 1 ? legacy : bytes);
      const error = userErrorOf(() => {
        for (const tensor of tensorsIn(readTorchArchive(path, { allowModules: true }), '').values())
          tensor.read();
      });
      if (i === 1) expect(error).toBeUndefined();
      if (error !== undefined) refused++;
    }
    expect(refused).toBeGreaterThan(500);
  });
});
