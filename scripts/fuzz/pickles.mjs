// Pickles to begin with, hostile ones among them, and the words of their language.

const latin1 = (text) => Buffer.from(text, 'latin1');
const u32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};
const join = (...parts) =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? latin1(part) : part)));
const text = (value) => join('X', u32(Buffer.byteLength(value)), Buffer.from(value));

/** A tensor over storage 0, which has 12 float32 elements. */
function tensor(offset, shape, stride) {
  const int = (value) => join('J', u32(value));
  return join(
    'ctorch._utils\n_rebuild_tensor_v2\n((',
    text('storage'),
    'ctorch\nFloatStorage\n',
    text('0'),
    text('cpu'),
    int(12),
    'tQ',
    int(offset),
    join('(', ...shape.map(int), 't('),
    join(...stride.map(int), 't'),
    '\x89ccollections\nOrderedDict\n)RtR',
  );
}

const model = join(text('model'), '}', text('w'), tensor(0, [3, 4], [4, 1]), 's');

/** A list of two of the list before, and so on: 2^40 items for whoever copies. */
const laughs = join(
  '\x80\x02]q\x00(K\x01K\x01e',
  ...Array.from({ length: 40 }, (_, i) =>
    join(']q', Buffer.of(i + 1), '(h', Buffer.of(i), 'h', Buffer.of(i), 'e'),
  ),
  '.',
);

export const pickleSeeds = [
  join('\x80\x02}(', model, text('epoch'), 'K\x03', 'u.'),
  join('\x80\x02}', text('w'), tensor(1, [2, 2], [4, 2]), 's.'),
  join(
    '\x80\x02}(',
    model,
    text('optimizer'),
    '}(',
    text('state'),
    '}K\x00}(',
    text('step'),
    'G?\xf0\x00\x00\x00\x00\x00\x00',
    text('exp_avg'),
    tensor(0, [3, 4], [4, 1]),
    text('exp_avg_sq'),
    tensor(0, [3, 4], [4, 1]),
    'us',
    text('param_groups'),
    ']}au',
    text('args'),
    'cargparse\nNamespace\n)\x81}',
    text('lr'),
    'G?\x50\x62\x4d\xd2\xf1\xa9\xfcsb',
    'u.',
  ),
  join('\x80\x04\x95', Buffer.from([9, 0, 0, 0, 0, 0, 0, 0]), '\x8c\x01a\x94\x8c\x01b\x94\x86.'),
  join('\x80\x02cos\nsystem\n', text('touch pwned'), '\x85R.'),
  join('\x80\x02ccollections\nOrderedDict\n]](', text('a'), 'K\x01ea\x85R.'),
  join('\x80\x02cbuiltins\nset\n](K\x01K\x02e\x85R.'),
  join('\x80\x02c_codecs\nencode\n', text('x'.repeat(40)), text('latin1'), '\x86R.'),
  join(
    '\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n',
    text('f8'),
    '\x89\x88\x87RC\x08',
    '12345678',
    '\x86R.',
  ),
  join(
    '\x80\x02ctorch.nn.modules.container\nSequential\n)\x81}(',
    text('_modules'),
    '}',
    text('_parameters'),
    '}',
    text('w'),
    tensor(0, [12], [1]),
    's',
    text('_buffers'),
    '}ub.',
  ),
  join('\x80\x05\x96', Buffer.from([255, 255, 255, 255, 0, 0, 0, 0]), 'x.'),
  join('\x80\x02B\xff\xff\xff\xff.'),
  join('\x80\x02\x8b\xff\xff\xff\x7f.'),
  join('\x80\x02]q\x00h\x00ah\x00a.'),
  laughs,
];

export const pickleWords = [
  ...[
    '.',
    '(',
    ')',
    '}',
    ']',
    't',
    'u',
    's',
    'a',
    'e',
    'R',
    'b',
    'Q',
    '0',
    '1',
    '2',
    'N',
    '\x81',
    '\x85',
    '\x86',
    '\x87',
  ],
  ...[
    '\x88',
    '\x89',
    '\x8f',
    '\x90',
    '\x91',
    '\x92',
    '\x93',
    '\x94',
    'q\x00',
    'h\x00',
    'h\x01',
    'K\x00',
    'J\xff\xff\xff\xff',
  ],
  ...[
    'r\xff\xff\xff\xff',
    'j\x00\x00\x00\x00',
    'X\xff\xff\xff\xff',
    'X\x00\x00\x00\x00',
    '\x8e\xff\xff\xff\xff\x00\x00\x00\x00',
  ],
  ...[
    'cos\nsystem\n',
    'cbuiltins\neval\n',
    'cbuiltins\nset\n',
    'cbuiltins\nlist\n',
    'cbuiltins\ndict\n',
    'cbuiltins\nbytearray\n',
  ],
  ...[
    'ccollections\nOrderedDict\n',
    'ccollections\ndefaultdict\n',
    'cargparse\nNamespace\n',
    'cpathlib\nPosixPath\n',
  ],
  ...[
    'ctorch\nSize\n',
    'ctorch\nFloatStorage\n',
    'ctorch\nHalfStorage\n',
    'ctorch._utils\n_rebuild_parameter\n',
  ],
  ...[
    'I0\n',
    'L123456789L\n',
    '\x8a\x04\xff\xff\xff\x7f',
    '\x8b\x00\x01\x00\x00',
    'G\x7f\xf0\x00\x00\x00\x00\x00\x00',
    '\x80\x05',
  ],
  ...['2a', 'h\x00a', '(((((((((((', '2'.repeat(64), 'h\x00'.repeat(32), '}q\x01h\x01s', ']q\x02h\x02a'],
].map(latin1);
