import { open, readFile } from 'node:fs/promises';
import sharp from 'sharp';
import {
  type ImageJob,
  type ImagePool,
  type ImageReport,
  type ImageSource,
  type ImageTransform,
  nativeImages,
} from '../native/image.js';
import { decodePlain, type PlainPicture } from './plain-formats.js';

export type ReadRequest = ImageSource & ImageTransform;

type FileRequest = Extract<ReadRequest, { readonly path: string }>;

/** What came of one request: the pixels are in its views, or `error` says why not. */
export interface ReadReport {
  readonly error?: string;
}

const done: ReadReport = {};

function reportOf(report: ImageReport): ReadReport {
  // The core's messages begin with the name of the operation, which says nothing about a file.
  return report.outcome === 'done' ? done : { error: report.message.replace(/^\[\w+\] /, '') };
}

/** A picture in a plain format; undefined for any other, of which no more than the beginning is read. */
async function readPlain(path: string): Promise<PlainPicture | undefined> {
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
  const magic = buffer.toString('latin1', 0, bytesRead);
  return ['BM', 'P5', 'P6'].includes(magic) ? decodePlain(await readFile(path)) : undefined;
}

/** Decodes what is no JPEG: the plain formats here, the others by sharp; transparency is dropped and profiles are ignored, as PIL's convert('RGB') does. */
async function decodeOther(request: FileRequest): Promise<ImageJob> {
  const { path, ...transform } = request;
  const plain = await readPlain(path);
  if (plain !== undefined) return { ...plain, ...transform };
  const { data, info } = await sharp(path, { failOn: 'error', ignoreIcc: true, pages: 1 })
    .toColourspace('srgb')
    .removeAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  return { pixels: data, height: info.height, width: info.width, ...transform };
}

/**
 * Reads pictures and writes their views into the caller's arrays: JPEG by the native core, anything else through
 * sharp. What counts is a file's content, not its name.
 */
export class ImageReader {
  private readonly pool: ImagePool;
  private closed = false;

  /** @param threads that decode at the same time */
  constructor(private readonly threads: number) {
    this.pool = nativeImages.imagePool(threads);
  }

  /** One report a request, in their order. Rejects only when the reader is closed meanwhile. */
  async read(requests: readonly ReadRequest[]): Promise<ReadReport[]> {
    const reports = await nativeImages.imageDecodeBatch(this.pool, requests);
    const results = reports.map(reportOf);
    const others = requests.map((_, i) => i).filter((i) => reports[i]!.outcome === 'other-format');
    // A few at a time: a decoded picture may be large.
    for (let start = 0; start < others.length; start += this.threads) {
      const some = others.slice(start, start + this.threads);
      await Promise.all(
        some.map(async (i) => {
          // Only a file can be of another format.
          results[i] = await this.readOther(requests[i] as FileRequest);
        }),
      );
    }
    return results;
  }

  private async readOther(request: FileRequest): Promise<ReadReport> {
    let job: ImageJob;
    try {
      job = await decodeOther(request);
    } catch (error) {
      const reason = (error as Error).message.split('\n')[0]!;
      const unknown = reason.includes('unsupported image format');
      return { error: unknown ? 'it is no picture in a known format (JPEG, PNG, WebP, TIFF, …)' : reason };
    }
    const [report] = await nativeImages.imageDecodeBatch(this.pool, [job]);
    return reportOf(report!);
  }

  /** Stops the threads; unfinished reads reject. Closing twice does nothing. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    nativeImages.imagePoolClose(this.pool);
  }
}
