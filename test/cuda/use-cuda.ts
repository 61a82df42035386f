import { setDefaultDevice } from '../../lib/tensor/device.js';

setDefaultDevice(process.env['CAE_TEST_DEVICE'] ?? 'cuda');
