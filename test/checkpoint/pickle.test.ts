import { describe, expect, test } from 'vitest';
import { readPickle } from '../../lib/checkpoint/pickle.js';
import { plainData } from '../../lib/checkpoint/pickle-globals.js';
import { PickledObject, type PickleLimits, type PickleValue } from '../../lib/checkpoint/pickle-values.js';
import { bytesOf, mutate, seededRandom, u32, u64, userErrorOf } from './support.js';

function load(bytes: Uint8Array, limits: Partial<PickleLimits> = {}): PickleValue {
  return readPickle(bytes, { source: 'x.pkl', findGlobal: (m, n) => plainData.find(m, n), limits }).value;
}

/** What CPython's pickle wrote of one object holding every plain type, by protocol. */
const samples: Record<number, string> = {
  2:
    '80027d71002858040000006e6f6e6571014e5805000000666c61677371025d7103288889655804000000696e74737104' +
    '5d7105284b004affffffff4bff4dffff4a000000808a0500000080008a07ffffffffffff1f8a0b000000000000000000' +
    '00ff655806000000666c6f6174737106473fe000000000000047fe37e43c8800759c8671075804000000746578747108' +
    '58050000006772c3bc6e71095803000000726177710a635f636f646563730a656e636f64650a710b580300000000c3bf' +
    '710c58060000006c6174696e31710d86710e52710f58060000006e657374656471107d71112858010000007471124b01' +
    '4b02284b034b044b054b067471138671148671154b035805000000746872656571167558030000007365747117635f5f' +
    '6275696c74696e5f5f0a7365740a71185d71194b076185711a52711b580600000066726f7a656e711c635f5f6275696c' +
    '74696e5f5f0a66726f7a656e7365740a711d5d711e4b086185711f52712058040000006c6f6e677121582c0100007878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '78787878787878787878712258020000006f64712363636f6c6c656374696f6e730a4f726465726564446963740a7124' +
    '295271252858010000006171264b0158010000006271274b027558040000006172677371286361726770617273650a4e' +
    '616d6573706163650a71292981712a7d712b2858020000006c72712c473fb999999999999a58040000006e616d65712d' +
    '5803000000636165712e75625806000000736861726564712f5d7130285d71314b0161683165752e',
  3:
    '80037d71002858040000006e6f6e6571014e5805000000666c61677371025d7103288889655804000000696e74737104' +
    '5d7105284b004affffffff4bff4dffff4a000000808a0500000080008a07ffffffffffff1f8a0b000000000000000000' +
    '00ff655806000000666c6f6174737106473fe000000000000047fe37e43c8800759c8671075804000000746578747108' +
    '58050000006772c3bc6e71095803000000726177710a430200ff710b58060000006e6573746564710c7d710d28580100' +
    '000074710e4b014b02284b034b044b054b0674710f8671108671114b0358050000007468726565711275580300000073' +
    '65747113636275696c74696e730a7365740a71145d71154b0761857116527117580600000066726f7a656e7118636275' +
    '696c74696e730a66726f7a656e7365740a71195d711a4b086185711b52711c58040000006c6f6e67711d582c01000078' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '7878787878787878787878711e58020000006f64711f63636f6c6c656374696f6e730a4f726465726564446963740a71' +
    '20295271212858010000006171224b0158010000006271234b027558040000006172677371246361726770617273650a' +
    '4e616d6573706163650a7125298171267d71272858020000006c727128473fb999999999999a58040000006e616d6571' +
    '295803000000636165712a75625806000000736861726564712b5d712c285d712d4b0161682d65752e',
  4:
    '80049597020000000000007d94288c046e6f6e65944e8c05666c616773945d94288889658c04696e7473945d94284b00' +
    '4affffffff4bff4dffff4a000000808a0500000080008a07ffffffffffff1f8a0b00000000000000000000ff658c0666' +
    '6c6f61747394473fe000000000000047fe37e43c8800759c86948c0474657874948c056772c3bc6e948c037261779443' +
    '0200ff948c066e6573746564947d94288c0174944b014b02284b034b044b054b067494869486944b038c057468726565' +
    '94758c03736574948f94284b07908c0666726f7a656e94284b0891948c046c6f6e6794582c0100007878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '78787878948c026f64948c0b636f6c6c656374696f6e73948c0b4f72646572656444696374949394295294288c016194' +
    '4b018c0162944b02758c0461726773948c086172677061727365948c094e616d6573706163659493942981947d94288c' +
    '026c7294473fb999999999999a8c046e616d65948c036361659475628c06736861726564945d94285d944b0161682b65' +
    '752e',
  5:
    '80059597020000000000007d94288c046e6f6e65944e8c05666c616773945d94288889658c04696e7473945d94284b00' +
    '4affffffff4bff4dffff4a000000808a0500000080008a07ffffffffffff1f8a0b00000000000000000000ff658c0666' +
    '6c6f61747394473fe000000000000047fe37e43c8800759c86948c0474657874948c056772c3bc6e948c037261779443' +
    '0200ff948c066e6573746564947d94288c0174944b014b02284b034b044b054b067494869486944b038c057468726565' +
    '94758c03736574948f94284b07908c0666726f7a656e94284b0891948c046c6f6e6794582c0100007878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878' +
    '78787878948c026f64948c0b636f6c6c656374696f6e73948c0b4f72646572656444696374949394295294288c016194' +
    '4b018c0162944b02758c0461726773948c086172677061727365948c094e616d6573706163659493942981947d94288c' +
    '026c7294473fb999999999999a8c046e616d65948c036361659475628c06736861726564945d94285d944b0161682b65' +
    '752e',
};
const numpyScalars = {
  2:
    '80025d710028636e756d70792e5f636f72652e6d756c746961727261790a7363616c61720a7101636e756d70790a6474' +
    '7970650a71025802000000663871038988877104527105284b0358010000003c71064e4e4e4affffffff4affffffff4b' +
    '0074710762635f636f646563730a656e636f64650a71085809000000000000000000c3903f710958060000006c617469' +
    '6e31710a86710b52710c86710d52710e6801680258020000006938710f8988877110527111284b0368064e4e4e4affff' +
    'ffff4affffffff4b007471126268085810000000c3b9c3bfc3bfc3bfc3bfc3bfc3bfc3bf7113680a8671145271158671' +
    '16527117652e',
  4:
    '800495a3000000000000005d94288c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c617294' +
    '93948c056e756d7079948c0564747970659493948c02663894898887945294284b038c013c944e4e4e4affffffff4aff' +
    'ffffff4b007494624308000000000000d03f9486945294680368068c02693894898887945294284b03680a4e4e4e4aff' +
    'ffffff4affffffff4b007494624308f9ffffffffffffff9486945294652e',
};

describe('pickles of plain data', () => {
  test.each([2, 3, 4, 5])('protocol %i', (protocol) => {
    const value = load(Buffer.from(samples[protocol] as string, 'hex')) as Map<string, PickleValue>;
    expect(value.get('none')).toBeNull();
    expect(value.get('flags')).toEqual([true, false]);
    expect(value.get('ints')).toEqual([0, -1, 255, 65535, -(2 ** 31), 2 ** 31, 2 ** 53 - 1, -(2n ** 80n)]);
    expect(value.get('floats')).toEqual([0.5, -1e300]);
    expect(value.get('text')).toBe('grün');
    expect(value.get('raw')).toEqual(Uint8Array.of(0, 255));
    expect(value.get('nested')).toEqual(
      new Map<unknown, unknown>([
        ['t', [1, [2, [3, 4, 5, 6]]]],
        [3, 'three'],
      ]),
    );
    expect(value.get('set')).toEqual(new Set([7]));
    expect(value.get('frozen')).toEqual(new Set([8]));
    expect(value.get('long')).toBe('x'.repeat(300));
    expect([...(value.get('od') as Map<string, number>)]).toEqual([
      ['a', 1],
      ['b', 2],
    ]);
    const args = value.get('args') as PickledObject;
    expect(args).toBeInstanceOf(PickledObject);
    expect(`${args.module}.${args.name}`).toBe('argparse.Namespace');
    expect(args.attribute('lr')).toBe(0.1);
    expect(args.attribute('name')).toBe('cae');
    const shared = value.get('shared') as PickleValue[];
    expect(shared).toEqual([[1], [1]]);
    expect(shared[0]).toBe(shared[1]);
  });

  test.each([2, 4] as const)('NumPy scalars are numbers, protocol %i', (protocol) => {
    expect(load(Buffer.from(numpyScalars[protocol], 'hex'))).toEqual([0.25, -7]);
  });

  test('a value may contain itself', () => {
    const list = load(bytesOf('\x80\x02]q\x00h\x00a.')) as PickleValue[];
    expect(list[0]).toBe(list);
  });

  test('the end of a pickle within longer input is told', () => {
    const bytes = bytesOf('xx\x80\x02K\x07.yy');
    const { value, end } = readPickle(bytes, { source: 'x', findGlobal: () => undefined, offset: 2 });
    expect([value, end]).toEqual([7, 7]);
  });
});

describe('hostile pickles', () => {
  test.each([
    ['os.system', 'cos\nsystem\n(X\x02\x00\x00\x00idtR.'],
    ['builtins.eval', '\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.'],
    ['__builtin__.getattr', '\x80\x02c__builtin__\ngetattr\n.'],
    ['collections.OrderedDict.__init__', '\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.'],
    ['posix.system', '\x80\x02cposix\nsystem\n.'],
    ['torch.storage._load_from_bytes', '\x80\x02ctorch.storage\n_load_from_bytes\n.'],
    ['__proto__.constructor', '\x80\x02c__proto__\nconstructor\n.'],
  ])('%s is named and refused', (name, text) => {
    expect(userErrorOf(() => load(bytesOf(text)))).toContain(
      `x.pkl: its pickle asks for ${name}, which is not allowed`,
    );
  });

  test('control characters of a global do not reach the terminal', () => {
    expect(userErrorOf(() => load(bytesOf('c\x1b[2Jos\nsys\rtem\n.')))).toContain('?[2Jos.sys?tem');
  });

  test.each([2, 3, 4, 5])('protocol %i truncated at every byte', (protocol) => {
    const bytes = Buffer.from(samples[protocol] as string, 'hex');
    for (let length = 0; length < bytes.length; length++) {
      expect(userErrorOf(() => load(bytes.subarray(0, length)))).toMatch(/^x\.pkl: /);
    }
  });

  test.each([
    ['BINUNICODE', bytesOf('\x80\x02X', u32(0xfffffff0), 'abc.')],
    ['BINUNICODE8', bytesOf('\x80\x04\x8d', u64(2n ** 32n), 'abc.')],
    ['BINUNICODE8 of 2^64', bytesOf('\x80\x04\x8d', u64(2n ** 64n - 1n), 'abc.')],
    ['BINBYTES', bytesOf('\x80\x03B', u32(0xfffffff0), 'abc.')],
    ['BINBYTES8', bytesOf('\x80\x04\x8e', u64(2n ** 40n), 'abc.')],
    ['BYTEARRAY8', bytesOf('\x80\x05\x96', u64(2n ** 40n), 'abc.')],
    ['FRAME', bytesOf('\x80\x04\x95', u64(2n ** 32n), 'N.')],
    ['BINSTRING', bytesOf('\x80\x02T', u32(0xffffffff), 'abc.')],
  ])('%s claims more than is there', (_, bytes) => {
    expect(userErrorOf(() => load(bytes))).toContain('truncated');
  });

  test('a huge integer is refused, not computed', () => {
    expect(userErrorOf(() => load(bytesOf('\x80\x02\x8b', u32(1e6), new Uint8Array(1e6), '.')))).toContain(
      'integer',
    );
    expect(userErrorOf(() => load(bytesOf('I', '9'.repeat(5000), '\n.')))).toBeDefined();
  });

  test('billion laughs: shared lists stay shared, copies are charged', () => {
    // Each list holds the one before ten times: 10^30 leaves, 30 lists.
    const laughs = ['\x80\x02]q\x00'];
    for (let level = 1; level <= 30; level++) {
      const ten = `h${String.fromCharCode(level - 1)}`.repeat(10);
      laughs.push(`](${ten}eq${String.fromCharCode(level)}`);
    }
    let value = load(bytesOf(...laughs, '.'));
    for (let level = 0; level < 30; level++) value = (value as PickleValue[])[0] as PickleValue;
    expect(value).toEqual([]);
    // list(x) copies: 1000 items, then list() of it again and again for 4 bytes each.
    const copies = ['\x80\x02c__builtin__\nlist\nq\x00](', 'K\x01'.repeat(1000), 'eq\x01'];
    for (let i = 0; i < 100_000; i++) copies.push('h\x00h\x01\x85R0');
    expect(userErrorOf(() => load(bytesOf(copies.join(''))))).toContain('items');
  });

  test('memo, stack, marks and containers are bounded', () => {
    expect(userErrorOf(() => load(bytesOf('\x80\x04N', '\x94'.repeat(200), '.'), { memo: 100 }))).toContain(
      'remembers',
    );
    expect(userErrorOf(() => load(bytesOf('N', '2'.repeat(200), '.'), { stack: 100 }))).toContain('stacks');
    expect(userErrorOf(() => load(bytesOf('('.repeat(200), 'N.'), { stack: 100 }))).toContain('stacks');
    expect(userErrorOf(() => load(bytesOf('}0'.repeat(200), 'N.'), { items: 800 }))).toContain('items');
    // With the defaults a minute's worth of empty dicts ends early.
    expect(userErrorOf(() => load(bytesOf(']', '}a'.repeat(2_000_000), '.')))).toContain('items');
  });

  test('deep nesting needs no deep stack of ours', () => {
    let depth = 0;
    let value = load(bytesOf(')', '\x85'.repeat(500_000), '.'));
    while (Array.isArray(value) && value.length > 0) {
      value = value[0] as PickleValue;
      depth++;
    }
    expect(depth).toBe(500_000);
  });

  test.each([
    ['pops an empty stack', '\x80\x020.'],
    ['pops past a mark', '\x80\x02K\x01(\x85.'],
    ['stops with nothing', '\x80\x02.'],
    ['takes a mark that is not there', '\x80\x02t.'],
    ['reads a memo never written', '\x80\x02h\x05.'],
    ['calls a number', '\x80\x02K\x01)R.'],
    ['calls with no tuple', '\x80\x02ccollections\nOrderedDict\nK\x01R.'],
    ['appends to a number', '\x80\x02K\x01K\x02a.'],
    ['sets items of a list', '\x80\x02]K\x01K\x02s.'],
    ['sets a key without a value', '\x80\x02}(K\x01u.'],
    ['builds a number', '\x80\x02K\x01}b.'],
    ['builds twice', '\x80\x02cargparse\nNamespace\n)\x81}b}b.'],
    ['unknown protocol', '\x80\x09N.'],
    ['unknown opcode', '\x80\x02\xff.'],
    ['extension registry', '\x80\x02\x82\x01.'],
    ['protocol 0 instance', '(ios\nsystem\n.'],
    ['out-of-band buffer', '\x80\x05\x97.'],
    ['persistent id without a loader', '\x80\x02K\x01Q.'],
    ['text that is not UTF-8', '\x80\x02X\x01\x00\x00\x00\xff.'],
    ['name of a global that is a number', '\x80\x04K\x01K\x02\x93.'],
    ['dict of no pairs', '\x80\x02ccollections\nOrderedDict\n]K\x01a\x85R.'],
  ])('%s', (_, text) => {
    expect(userErrorOf(() => load(bytesOf(text)))).toMatch(/^x\.pkl: .{10,}/);
  });

  test('8000 mutated pickles give a value or a UserError, nothing else', () => {
    const random = seededRandom(20260101);
    let refused = 0;
    for (let i = 0; i < 8000; i++) {
      const sample = Buffer.from(samples[2 + (i % 4)] as string, 'hex');
      if (userErrorOf(() => load(mutate(sample, random))) !== undefined) refused++;
    }
    expect(refused).toBeGreaterThan(1000);
  });
});
