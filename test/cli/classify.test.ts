import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { writeSafetensors } from '../../lib/checkpoint/safetensors-writer.js';
import { makeColours } from '../training/small-finetune.js';
import { makePretrained } from './pretrained-world.js';
import { runCli } from './run-cli.js';

let folder: string;
let data: string;
let checkpoint: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  ({ data, checkpoint } = await makePretrained(folder));
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a command that must succeed; returns what it printed. */
function done(...args: string[]): { out: string; err: string } {
  const { status, stdout, stderr } = runCli(...args);
  expect(stderr).not.toContain('cae-native:');
  expect(status).toBe(0);
  return { out: stdout, err: stderr };
}

const few = ['--batch_size', '8', '--epochs', '12', '--warmup_epochs', '1'];

describe('probes, fine-tuning and what is done with them', () => {
  it('linear: trains on cached features, reports, and eval finds the same', () => {
    const out = join(folder, 'linear');
    const rate = ['--opt', 'sgd', '--lr', '0.5'];
    const confusion = join(folder, 'confusion.tsv');
    const flags = [
      '--data_path',
      data,
      '--finetune',
      checkpoint,
      '--output_dir',
      out,
      ...few,
      '--epochs',
      '60',
    ];
    const { out: said, err } = done('linear', ...flags, '--cache_features', ...rate, '--class_accuracy');
    expect(err).toMatch(/pre\/small_checkpoint-0\/model.safetensors: \d+ tensors matched/);
    expect(said).toMatch(
      /^acc@1 100\.00 {2}acc@5 100\.00 {2}loss .* \(10 pictures\)\n {2}blue +100\.00\n {2}red/,
    );
    const evaluated = done('eval', join(data, 'val'), '--checkpoint', out, '--confusion', confusion).out;
    expect(evaluated.trim()).toBe(said.split('\n')[0]);
    expect(readFileSync(confusion, 'utf8')).toBe('true \\ predicted\tblue\tred\nblue\t5\t0\nred\t0\t5\n');
    expect(done('linear', ...flags, '--cache_features', ...rate).err).toContain('nothing is left to do');
    expect(done('linear', ...flags, '--opt', 'sgd', '--eval').out).toBe(evaluated);
    expect(existsSync(join(out, 'linear_checkpoint-best'))).toBe(true);
  });

  it('attentive and finetune: train on augmented pictures, and their checkpoints can be evaluated', () => {
    const shared = ['--data_path', data, '--finetune', checkpoint, '--batch_size', '8', '--epochs', '2'];
    const attentive = join(folder, 'attentive');
    const probed = done('attentive', ...shared, '--warmup_epochs', '0', '--output_dir', attentive);
    expect(done('eval', join(data, 'val'), '--checkpoint', attentive).out).toBe(probed.out);
    const tuned = join(folder, 'finetune');
    const flags = [
      '--warmup_epochs',
      '0',
      '--output_dir',
      tuned,
      '--model_ema',
      '--model_ema_decay',
      '0.5',
      '--lr',
      '2e-3',
    ];
    const { out } = done('finetune', ...shared, ...flags);
    expect(done('eval', data, '--data_set', 'IMNET', '--checkpoint', tuned).out).toBe(out);
    const averaged = done('eval', join(data, 'val'), '--checkpoint', tuned, '--model_ema').out;
    const log = readFileSync(join(tuned, 'log.txt'), 'utf8').trimEnd().split('\n').at(-1)!;
    const last = JSON.parse(log) as Record<string, number>;
    expect(averaged).toContain(`loss ${last['test_ema_loss']!.toFixed(4)}`);
    expect(averaged).not.toBe(out);
    const again = ['--data_path', data, '--finetune', tuned, '--batch_size', '8', '--eval', '--model_ema'];
    expect(done('finetune', ...again, '--output_dir', tuned).out).toBe(averaged);
    expect(done('finetune', ...again, '--output_dir', join(folder, 'none')).out).toBe(averaged);
  });

  it('embed: features, labels and names in either format; knn counts with the same features', () => {
    const file = join(folder, 'features.safetensors');
    done('embed', join(data, 'val'), '--checkpoint', checkpoint, '-o', file);
    using table = SafetensorsFile.open(file);
    expect(table.info('features').shape).toEqual([10, 32]);
    expect([...table.readInt32('labels')]).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    expect(JSON.parse(table.metadata['classes']!)).toEqual(['blue', 'red']);
    expect((JSON.parse(table.metadata['files']!) as string[])[0]).toBe(join(data, 'val/blue/0.jpg'));
    const features = table.readFloat32('features');

    const npy = join(folder, 'features.npy');
    done('embed', join(data, 'val'), '--checkpoint', checkpoint, '-o', npy, '--batch_size', '3');
    const bytes = readFileSync(npy);
    expect(bytes.subarray(1, 6).toString()).toBe('NUMPY');
    const header = 10 + bytes.readUInt16LE(8);
    expect(bytes.subarray(10, header).toString()).toContain(
      "'descr': '<f4', 'fortran_order': False, 'shape': (10, 32)",
    );
    expect(header % 64).toBe(0);
    const values = new Float32Array(new Uint8Array(bytes.subarray(header)).buffer);
    for (const [i, value] of features.entries()) expect(values[i]).toBeCloseTo(value, 4);
    expect(readFileSync(join(folder, 'features.files.txt'), 'utf8').trimEnd().split('\n')).toHaveLength(10);
    expect(readFileSync(join(folder, 'features.labels.npy')).length).toBe(128 + 4 * 10);

    const tokens = join(folder, 'tokens.safetensors');
    done(
      'embed',
      join(data, 'val'),
      '--checkpoint',
      checkpoint,
      '-o',
      tokens,
      '--pool',
      'tokens',
      '--layer',
      '1',
    );
    using all = SafetensorsFile.open(tokens);
    expect(all.info('features').shape).toEqual([10, 17, 32]);

    const { out } = done('knn', data, '--checkpoint', checkpoint, '--nb_knn', '5', '200');
    expect(out).toMatch(/^k 5 {2}acc@1 .* \(10 pictures\)\nk 24 {2}acc@1/);
    const random = done('knn', data, '--checkpoint', checkpoint, '--random', '--nb_knn', '5');
    expect(random.err).toContain('random weights');
    expect(random.out).not.toBe(out.split('\n')[0]);
  });
});

describe('cae-native bench', () => {
  it.each(['finetune', 'features'])('--task %s prints one JSON line', (task) => {
    const { out } = done('bench', '--task', task, '--model', 'tiny', '--batch', '2', '--steps', '1');
    expect(out.trimEnd().split('\n')).toHaveLength(1);
    const numbers = JSON.parse(out) as Record<string, number | string>;
    expect(numbers['task']).toBe(task);
    for (const name of ['images_per_s', 'step_s', 'peak_mib']) expect(numbers[name]).toBeGreaterThan(0);
    expect(numbers['ops']).toBeUndefined();
  });

  it('--profile adds the seconds of each op', () => {
    const flags = ['--task', 'features', '--model', 'tiny', '--batch', '2', '--steps', '1', '--profile'];
    const { ops } = JSON.parse(done('bench', ...flags).out) as { ops: Record<string, number> };
    expect(ops['linear_forward']).toBeGreaterThan(0);
  });

  it.each([
    ['--tokenizer', 'none'],
    ['--num_mask_patches', '98'],
  ])('--task finetune has no %s', (flag, value) => {
    expect(runCli('bench', '--task', 'finetune', flag, value)).toMatchObject({
      status: 2,
      stderr: `cae-native: ${flag} ${value} is for --task pretrain; leave it out\n`,
    });
  });
});

describe('what is refused in one line, with nothing written', () => {
  const out = () => join(folder, 'refused');
  const refused = (...args: string[]): string => {
    const { status, stdout, stderr } = runCli(...args);
    expect(status).toBeGreaterThan(0);
    expect(stdout).toBe('');
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(existsSync(out())).toBe(false);
    return stderr.trimEnd();
  };
  const linear = (...flags: string[]) =>
    refused('linear', '--data_path', data, '--output_dir', out(), '--finetune', checkpoint, ...few, ...flags);
  const finetune = (...flags: string[]) =>
    refused(
      'finetune',
      '--data_path',
      data,
      '--output_dir',
      out(),
      '--finetune',
      checkpoint,
      ...few,
      ...flags,
    );

  it('classes that differ between training and evaluation, and their wrong number', async () => {
    const other = join(folder, 'other');
    mkdirSync(other);
    await makeColours(join(other, 'train'), 2);
    await makeColours(join(other, 'val'), 1);
    rmSync(join(other, 'val', 'red'), { recursive: true });
    const folders = ['--data_set', 'image_folder', '--data_path', join(other, 'train')];
    expect(linear(...folders, '--eval_data_path', join(other, 'val'))).toMatch(
      /the classes of .*train and .*val differ: class 1 is 'red' in the one and none in the other/,
    );
    expect(linear(...folders)).toMatch(/give --eval_data_path/);
    expect(linear('--nb_classes', '1000')).toMatch(
      /--nb_classes 1000: .* has 2 classes; give --nb_classes 2/,
    );
    expect(refused('eval', join(other, 'val'), '--checkpoint', join(folder, 'linear'))).toMatch(
      /tells 2 classes and the data has 1/,
    );
  });

  it('a checkpoint of another width, naming tensors and shapes', () => {
    expect(finetune('--embed_dim', '48')).toMatch(
      /small_checkpoint-0\/model.safetensors is of another model: cls_token is \[1, 1, 32\] there and \[1, 1, 48\] here; patch_embed.proj.weight is \[32, 3, 8, 8\] there/,
    );
    expect(linear('--model', 'cae_small_patch16_224')).toMatch(/is of another model: .*\[1, 1, 384\] here/);
  });

  it('a file that holds nothing of the encoder, and checkpoints without a classifier', async () => {
    const strange = join(folder, 'strange.safetensors');
    const read = () => new Uint8Array(8);
    await writeSafetensors(strange, [{ name: 'codebook', dtype: 'F32', shape: [2], byteLength: 8, read }]);
    expect(linear('--finetune', strange)).toMatch(/strange.safetensors.* nothing .*encoder/);
    expect(linear('--finetune', join(folder, 'nowhere'))).toMatch(/nowhere does not exist/);
    expect(refused('eval', join(data, 'val'), '--checkpoint', checkpoint)).toMatch(
      /small_checkpoint-0 holds no classifier: it has no head/,
    );
  });

  it.each([
    ['a batch that cannot be normalised', 'linear', ['--batch_size', '1'], /--batch_size 1: batch normal/],
    [
      'an odd batch with mixup',
      'finetune',
      ['--batch_size', '7'],
      /--batch_size 7 with --mixup .* even number/,
    ],
    [
      'one limit of a cutmix box',
      'finetune',
      ['--cutmix_minmax', '0.2'],
      /--cutmix_minmax takes two numbers/,
    ],
    [
      'cached features while the encoder trains',
      'finetune',
      ['--cache_features'],
      /--cache_features: fine-tuning/,
    ],
    ['an unknown policy', 'finetune', ['--aa', 'v0'], /--aa v0/],
    ['a device that is not there', 'linear', ['--device', 'cuda:99'], /--device cuda:99: /],
    ['cls and mean pooling', 'linear', ['--use_cls', '--use_mean_pooling'], /exclude each other/],
    ['learnt positions', 'finetune', ['--abs_pos_emb'], /--abs_pos_emb: this build/],
    ['dropout', 'linear', ['--drop', '0.1'], /--drop 0.1: this build has no dropout/],
    ['a probe by the other command', 'linear', ['--linear_type', 'attentive'], /--linear_type attentive/],
    [
      'several processes',
      'linear',
      ['--world_size', '8'],
      /--world_size 8: this build trains in one process/,
    ],
    ['a warmup longer than the run', 'finetune', ['--warmup_epochs', '99'], /--warmup_epochs 99 must not/],
    [
      'more batches a step than there are',
      'finetune',
      ['--update_freq', '9'],
      /--update_freq 9 is larger than/,
    ],
  ])('%s', (_name, command, flags, message) => {
    expect(command === 'linear' ? linear(...flags) : finetune(...flags)).toMatch(message);
  });

  it('encoders that are not named, layers that are not there, endings that name no format', () => {
    const file = join(out(), 'f.txt');
    expect(refused('knn', data)).toMatch(/--checkpoint is missing; give it, or --random with a --model/);
    expect(refused('embed', data, '--checkpoint', checkpoint, '-o', file)).toMatch(/\.safetensors or \.npy/);
    const flags = ['--checkpoint', checkpoint, '--layer', '3', '-o', join(out(), 'f.npy')];
    expect(refused('embed', join(data, 'val'), ...flags)).toMatch(/--layer 3: the encoder has 2 blocks/);
  });
});
