import { describe, expect, it } from 'vitest';
import { checkReport, compareTensors, reportLines } from '../../lib/checkpoint/load-report.js';
import { UserError } from '../../lib/errors.js';

const shapes = (entries: Record<string, number[]>) =>
  new Map(Object.entries(entries).map(([name, shape]) => [name, { shape }]));
const model = shapes({ cls_token: [1, 1, 8], 'norm.weight': [8], 'head.weight': [10, 8] });

describe('a partial load', () => {
  it('lists what matched, what is missing, what is left over', () => {
    const report = compareTensors(shapes({ cls_token: [1, 1, 8], 'norm.weight': [8], extra: [2] }), model);
    expect(report).toEqual({
      matched: ['cls_token', 'norm.weight'],
      missing: ['head.weight'],
      leftOver: ['extra'],
      mismatched: [],
    });
    expect(() => checkReport('x.pth', report)).not.toThrow();
    expect(reportLines('x.pth', report)).toEqual([
      'x.pth: 2 tensors matched',
      '  missing, left as initialised: head.weight',
      '  left over, not used: extra',
    ]);
  });

  it('is refused where a shape differs, naming tensor and shapes', () => {
    const report = compareTensors(shapes({ cls_token: [1, 1, 16], 'norm.weight': [16] }), model);
    expect(() => checkReport('x.pth', report)).toThrow(UserError);
    expect(() => checkReport('x.pth', report)).toThrow(
      'x.pth is of another model: cls_token is [1, 1, 16] there and [1, 1, 8] here; norm.weight is [16] there and [8] here; give',
    );
  });

  it('is refused where nothing of the encoder matched', () => {
    const names = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`other.${i}`, [1]]));
    const nothing = compareTensors(shapes(names), model);
    expect(() => checkReport('x.pth', nothing)).toThrow(
      /nothing of the encoder matched; it holds other\.0, .*… \(20 in all\)/,
    );
    const headOnly = compareTensors(shapes({ 'head.weight': [10, 8] }), model);
    expect(() => checkReport('x.pth', headOnly)).not.toThrow();
    expect(() => checkReport('x.pth', headOnly, (name) => !name.startsWith('head.'))).toThrow(/nothing of/);
  });
});
