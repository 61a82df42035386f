// Prints what `npm pack --json` says of a package, and fails where it is over a limit.
// usage: node scripts/prebuild/sizes.mjs PACKED UNPACKED FOLDER < REPORT     limits in bytes
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const [packed, unpacked] = process.argv.slice(2, 4).map(Number);
const [report] = JSON.parse(readFileSync(0, 'utf8'));
const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const { name, version, size, unpackedSize, filename, files } = report;
const largest = [...files].sort((a, b) => b.size - a.size).slice(0, 3);
const parts = largest.map((file) => `${file.path.split('/').at(-1)} ${mib(file.size)}`).join(', ');
console.log(`${name}@${version}: ${mib(size)} packed, ${mib(unpackedSize)} unpacked (${parts})`);
console.log(join(process.argv[4], filename.replace('@', '').replace('/', '-')));
if (size > packed || unpackedSize > unpacked) {
  console.error(
    `prebuild: ${name} is too large for the registry: at most ${mib(packed)} packed and ${mib(unpacked)} unpacked; give --arch fewer architectures`,
  );
  process.exit(1);
}
