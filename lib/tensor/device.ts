import { machineError, UserError } from '../errors.js';
import { addonAttempts, native } from '../native/addon.js';
import type { Device } from '../native/bindings.js';
import { howToGetCuda, whyWithoutCuda } from '../native/find-addon.js';

let current: Device = 'cpu';

/** Where tensors are made that name no device. */
export function defaultDevice(): Device {
  return current;
}

/**
 * Makes a device the one of all tensors that name none: `cpu`, `cuda` (the first) or `cuda:N`.
 * @throws UserError where it cannot be used: one line with the reason and the remedy
 */
export function setDefaultDevice(device: Device): void {
  const reason = whyNot(device);
  if (reason !== null) throw new UserError(`--device ${device}: ${reason}`);
  current = device;
}

/** Why a device cannot be used, in one line; null if it can. */
export function whyNot(device: Device): string | null {
  if (device === 'cpu') return null;
  if (native.buildInfo().cuda === null && /^cuda(:\d+)?$/.test(device)) {
    return whyWithoutCuda(addonAttempts) ?? howToGetCuda(addonAttempts);
  }
  try {
    native.synchronize(device);
    return null;
  } catch (error) {
    return machineError(error) ?? (error as Error).message;
  }
}

/** What `--device` stands for. */
export interface DeviceChoice {
  device: Device;
  /** For the user, to be said at the start of a run; null where there was nothing to choose. */
  note: string | null;
}

/**
 * The device to use: the one named, or for `auto` or none cuda where it works, else cpu. It becomes the default device.
 * @throws UserError where the named device cannot be used
 */
export function chooseDevice(named?: string): DeviceChoice {
  if (named !== undefined && named !== 'auto') {
    setDefaultDevice(named);
    return { device: named, note: named === 'cpu' ? null : `device: ${named}${nameOf(named)}` };
  }
  const withCuda = native.buildInfo().cuda !== null;
  const reason = withCuda ? whyNot('cuda') : whyWithoutCuda(addonAttempts);
  if (!withCuda && reason === null) return { device: 'cpu', note: null };
  if (reason !== null) return { device: 'cpu', note: `device: cpu, since cuda does not work: ${reason}` };
  setDefaultDevice('cuda');
  return { device: 'cuda', note: `device: cuda${nameOf('cuda')}` };
}

function nameOf(device: Device): string {
  const { name, capability, memory } = native.cudaDevices()[Number(device.split(':')[1] ?? 0)]!;
  return ` (${name}, compute capability ${capability}, ${(memory / 2 ** 30).toFixed(0)} GiB)`;
}
