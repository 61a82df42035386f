// What the augmentations draw, as numbers to be compared with timm's: see README.md.

/** A map of lists that grow. */
class Lists extends Map {
  add(name, ...values) {
    if (!this.has(name)) this.set(name, []);
    this.get(name).push(...values);
  }
}

const size = 224;

function drawRandAugment({ randAugment, random }, pictures, lists) {
  const policy = randAugment.parseRandAugment('rand-m9-mstd0.5-inc1');
  for (let i = 0; i < pictures; i++) {
    const draws = new random.Draws(1, random.dataStream.augmentation, 0, i);
    const drawn = randAugment.drawRandAugment(policy, 'random', [124, 116, 104], draws);
    lists.add('randAugment.count', drawn.length);
    for (const { name, operation } of drawn) {
      lists.add('randAugment.operation', policy.names.indexOf(name));
      if ('value' in operation) lists.add(`randAugment.${name}`, operation.value);
      if ('filter' in operation) lists.add('randAugment.filter', Number(operation.filter === 'bicubic'));
    }
  }
}

function drawErasing({ randomErasing }, pictures, lists) {
  for (const [prefix, recount] of [
    ['erasing', 1],
    ['erasing3', 3],
  ]) {
    const erasing = randomErasing.createRandomErasing({ seed: 2, size, reprob: 0.25, recount });
    for (let i = 0; i < pictures; i++) {
      const boxes = erasing.draw(0, i);
      let count = 0;
      for (let k = 0; k < recount; k++) {
        const [top, left, height, width] = boxes.subarray(4 * k, 4 * k + 4);
        if (height * width === 0) continue;
        count++;
        lists.add(`${prefix}.area`, (height * width) / size ** 2);
        lists.add(`${prefix}.aspect`, height / width);
        lists.add(`${prefix}.top`, top / (size - height));
        lists.add(`${prefix}.left`, left / (size - width));
      }
      lists.add(`${prefix}.count`, count);
    }
  }
}

function addMix(prefix, mix, i, lists) {
  const [, , height, width] = mix.boxes.subarray(4 * i, 4 * i + 4);
  const cut = mix.weight[i] === 1;
  if (mix.lambda[i] === 1 && height * width === 0) {
    lists.add(`${prefix}.mixed`, 0);
    return;
  }
  lists.add(`${prefix}.mixed`, 1);
  lists.add(`${prefix}.cutmix`, Number(cut));
  lists.add(`${prefix}.${cut ? 'cutmixLambda' : 'mixupLambda'}`, mix.lambda[i]);
  if (cut) lists.add(`${prefix}.height`, height);
  if (cut) lists.add(`${prefix}.width`, width);
}

function drawMixes({ mixup }, pictures, lists) {
  const plain = { size, mixup: 0.8, cutmix: 1, mixupProb: 0.9, switchProb: 0.5 };
  for (const mode of ['batch', 'pair', 'elem']) {
    const mixer = new mixup.Mixup({ ...plain, seed: 3, mode });
    const own = { batch: 1, pair: 4, elem: 8 }[mode];
    for (let i = 0; i < pictures / own; i++) {
      const mix = mixer.draw(0, i, 8);
      for (let k = 0; k < own; k++) addMix(`mix.${mode}`, mix, k, lists);
    }
  }
  const limits = new mixup.Mixup({ ...plain, seed: 4, mixup: 0, cutmixMinmax: [0.2, 0.8] });
  for (let i = 0; i < pictures; i++) addMix('mix.minmax', limits.draw(0, i, 2), 0, lists);
  // A parameter so small that its gamma variates are below the least number.
  const extreme = new mixup.Mixup({ ...plain, seed: 5, mixup: 0.02, cutmix: 0, mixupProb: 1 });
  for (let i = 0; i < pictures; i++) {
    lists.add('mix.extreme.mixupLambda', extreme.draw(0, i, 2).lambda[0]);
  }
}

function drawJitter({ trainAugmenter }, pictures, lists) {
  const mean = [0.485, 0.456, 0.406];
  const augmenter = trainAugmenter.fineTuneAugmenter({ seed: 6, colorJitter: 0.4, mean });
  for (let i = 0; i < pictures; i++) {
    const { operations } = augmenter.draw(0, i);
    const mirrored = operations[0].kind === 'mirror';
    lists.add('mirrored', Number(mirrored));
    const steps = mirrored ? operations.slice(1) : operations;
    const kinds = ['brightness', 'contrast', 'saturation'];
    lists.add('jitter.first', kinds.indexOf(steps[0].kind));
    lists.add('jitter.last', kinds.indexOf(steps[2].kind));
    for (const { kind, value } of steps) lists.add(`jitter.${kind}`, value);
  }
}

/** Crops are drawn where a picture's size is known: in the native core. */
async function drawCrops({ image, trainAugmenter }, crops, lists) {
  const mean = [0.5, 0.5, 0.5];
  const augmenters = {
    crop: trainAugmenter.fineTuneAugmenter({ seed: 7, colorJitter: 0, mean, trainInterpolation: 'random' }),
    probeCrop: trainAugmenter.probeAugmenter(7),
  };
  const pool = image.nativeImages.imagePool(2);
  try {
    for (const [name, augmenter] of Object.entries(augmenters)) {
      for (const [height, width] of [
        [75, 100],
        [40, 160],
      ]) {
        const pixels = new Uint8Array(3 * height * width);
        const jobs = Array.from({ length: crops }, (_, i) => {
          const { crop, filter = 'bicubic' } = augmenter.draw(height, i);
          lists.add(`${name}.filter`, Number(filter === 'bicubic'));
          const views = [{ out: new Uint8Array(3), offset: 0, size: 1, filter: 'box' }];
          return { pixels, height, width, crop, mirrored: false, jitter: [], views };
        });
        for (const report of await image.nativeImages.imageDecodeBatch(pool, jobs)) {
          const [top, left, h, w] = report.crop;
          const prefix = `${name}.${height}x${width}`;
          lists.add(`${prefix}.area`, (h * w) / (height * width));
          lists.add(`${prefix}.aspect`, w / h);
          lists.add(`${prefix}.top`, h === height ? 0 : top / (height - h));
          lists.add(`${prefix}.left`, w === width ? 0 : left / (width - w));
        }
      }
    }
  } finally {
    image.nativeImages.imagePoolClose(pool);
  }
}

export async function drawQuantities(modules, pictures, crops) {
  const lists = new Lists();
  drawRandAugment(modules, pictures, lists);
  drawErasing(modules, pictures, lists);
  drawMixes(modules, pictures, lists);
  drawJitter(modules, pictures, lists);
  await drawCrops(modules, crops, lists);
  return lists;
}
