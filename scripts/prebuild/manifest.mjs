// Writes what a package holds beside its binary: package.json, README.md, LICENSE, and the licences of the libraries
// in it. For `main`, names the CPU package in the package.json that is there.
// usage: node scripts/prebuild/manifest.mjs cpu|cuda12|cuda13|main FOLDER
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [variant = '', folder = ''] = process.argv.slice(2);
const root = join(import.meta.dirname, '../..');
const { version, license, engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const nameOf = (one) => `@cae-native/linux-x64-${one}`;

function write(name, text) {
  writeFileSync(join(folder, name), text);
}

/** The licence of the Debian package that a library came in. */
function licenceOf(library) {
  const owner = execFileSync('dpkg', ['-S', library], { encoding: 'utf8' }).split(':')[0];
  return section(owner, join('/usr/share/doc', owner, 'copyright'));
}

function section(name, file) {
  if (!existsSync(file))
    throw new Error(`${file} is missing: ${name} cannot be given away without its licence`);
  return `==== ${name}\n\n${readFileSync(file, 'utf8')}`;
}

/** dpkg knows a file of /usr/lib by the name it was installed under, which may be /lib's. */
function licences(libraries) {
  return libraries.map((library) => {
    try {
      return licenceOf(library);
    } catch {
      return licenceOf(library.replace(/^\/usr/, ''));
    }
  });
}

if (variant === 'main') {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const { devDependencies: _, scripts: __, 'cmake-js': build, ...kept } = manifest;
  const scripts = { 'build:native': manifest.scripts['build:native'] };
  const optionalDependencies = { ...manifest.optionalDependencies, [nameOf('cpu')]: version };
  write(
    'package.json',
    `${JSON.stringify({ ...kept, scripts, 'cmake-js': build, optionalDependencies }, null, 2)}\n`,
  );
} else {
  const cuda = variant.replace(/\D+/, '');
  const what =
    cuda === '' ? 'computing on the CPU' : `computing on the CPU and, through CUDA ${cuda}, on NVIDIA GPUs`;
  const manifest = {
    name: nameOf(variant),
    version,
    description: `Native binary of cae-native for Linux on x86-64, ${what}`,
    license,
    os: ['linux'],
    cpu: ['x64'],
    libc: ['glibc'],
    engines,
    files: ['prebuilds', 'THIRD-PARTY.txt'],
    preferUnplugged: true,
  };
  write('package.json', `${JSON.stringify(manifest, null, 2)}\n`);
  const built = join(folder, '../build/Release');
  const glibc = readFileSync(join(built, 'glibc.txt'), 'utf8').trim();
  const levels = cuda === '' ? 'AVX2, and one for AVX-512' : 'AVX2';
  const needs =
    cuda === ''
      ? 'cae-native installs it by itself.'
      : `Installed beside cae-native, of the same version, it is used where the NVIDIA driver supports CUDA ${cuda}.0 or\n` +
        `newer. It needs cuBLAS and cuDNN 9 for CUDA ${cuda}: of the system, or in the folder that \`CAE_CUDA_LIBS\` names.`;
  write(
    'README.md',
    `# ${nameOf(variant)}\n\nThe native binary of [cae-native](https://www.npmjs.com/package/cae-native) for Linux on x86-64\n` +
      `(${levels}; glibc ${glibc} or newer), ${what}.\n\n${needs} \`cae-native doctor\` says which binary\nis used and why.\n\n` +
      'MIT license; the libraries beside it have their own: THIRD-PARTY.txt.\n',
  );
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  const lines = readFileSync(join(built, 'third-party.txt'), 'utf8').trim().split('\n');
  const libraries = lines.filter((line) => line !== '').map((line) => line.split('\t')[1]);
  const cache = readFileSync(join(folder, '../build/CMakeCache.txt'), 'utf8');
  const archives = [...cache.matchAll(/^\w+_ARCHIVE:FILEPATH=(\/.*)$/gm)].map(([, archive]) => archive);
  const texts = licences([...libraries, ...archives]);
  texts.push(section('node-addon-api', join(root, 'node_modules/node-addon-api/LICENSE.md')));
  if (cuda !== '') {
    texts.push(
      "==== CUDA runtime\n\nNVIDIA's CUDA runtime library is linked in, as Attachment A of the CUDA Toolkit's End User License\n" +
        'Agreement allows: https://docs.nvidia.com/cuda/eula/\n',
    );
  }
  write('THIRD-PARTY.txt', [...new Set(texts)].join('\n'));
}
