import { describe, expect, it } from 'vitest';
import { geometricOffsets, resizeBiasTable, tableSide } from '../../lib/models/resize-positions.js';

const rows = (side: number): number => (2 * side - 1) ** 2 + 3;

/** A table [rows, 2] of numbers that no low polynomial goes through. */
function table(side: number): Float64Array {
  return Float64Array.from({ length: 2 * rows(side) }, (_, i) => Math.sin(i * i * 0.37 + i * 0.11));
}

/**
 * From SciPy: RectBivariateSpline (s = 0, degree min(3, knots − 1)) over BEiT's geometric sequence, evaluated at the new
 * offsets; Σ value·cos(0.7·i), the norm, and the elements 0, 1, 7, 20, 33 and the last but 6, 5 and 0.
 */
const cases = [
  {
    from: 3,
    to: 4,
    weighted: 3.2532386451929254,
    norm: 9.63195537003066,
    values: [0, 0.461779176, -0.366479129, -1.868266875, 0.903620006, 0.999732977, 0.555175983, 0.572728124],
  },
  {
    from: 4,
    to: 3,
    weighted: 6.496545066690698,
    norm: 5.161814454415989,
    values: [
      0.790560601, 0.901300726, -0.318298072, -0.969879173, 0.92431335, -0.987427372, 0.992428521,
      -0.241979101,
    ],
  },
  {
    from: 4,
    to: 7,
    weighted: -5.357635669942541,
    norm: 22.4936409765332,
    values: [
      0, 0.461779176, -0.329227766, 1.253258509, -0.329227766, -0.992836677, 0.992428521, -0.241979101,
    ],
  },
  {
    from: 2,
    to: 3,
    weighted: -2.1119838183949273,
    norm: 4.9998864899573086,
    values: [0, 0.461779176, -0.366479129, 0.987674679, 0.903620006, 0.915094768, 0.614785122, -0.333169199],
  },
  {
    from: 14,
    to: 24,
    weighted: 20.497751775863158,
    norm: 44.02165946611353,
    values: [0, 0.461779176, -0.519112391, -0.54305668, 0.3408451, 0.508369706, 0.531549852, 0.988811207],
  },
];

describe('relative position bias tables of another grid', () => {
  it.each(cases)(
    'from $from × $from to $to × $to patches: as SciPy',
    ({ from, to, weighted, norm, values }) => {
      const resized = resizeBiasTable(table(from), 2, rows(to));
      expect(resized).toHaveLength(2 * rows(to));
      const sum = resized.reduce((total, v, i) => total + v * Math.cos(0.7 * i), 0);
      expect(sum).toBeCloseTo(weighted, 5);
      expect(Math.hypot(...resized)).toBeCloseTo(norm, 5);
      const at = [0, 1, 7, 20, 33, resized.length - 7, resized.length - 6, resized.length - 1];
      for (const [k, i] of at.entries()) expect(resized[i], `element ${i}`).toBeCloseTo(values[k]!, 6);
    },
  );

  it('keep the rows of the cls token', () => {
    const from = table(5);
    expect([...resizeBiasTable(from, 2, rows(8)).slice(-6)]).toEqual([...Float32Array.from(from.slice(-6))]);
  });

  it('give back what is smooth: a table that is linear in the offsets stays so', () => {
    // value = row offset + 2·column offset, at the knots of the geometric sequence
    const knots = geometricOffsets(7, 9);
    const plane = [...knots].flatMap((r) => [...knots].map((c) => r + 2 * c));
    const resized = resizeBiasTable([...plane, 0, 0, 0], 1, rows(5));
    const wanted = Array.from({ length: 81 }, (_, i) => Math.floor(i / 9) - 4 + 2 * ((i % 9) - 4));
    for (const [i, value] of wanted.entries()) expect(resized[i], `element ${i}`).toBeCloseTo(value, 4);
  });

  it('spread a single patch’s row over the grid', () => {
    const one = Float64Array.of(7, 1, 2, 3);
    expect([...resizeBiasTable(one, 1, rows(2))]).toEqual([...new Array(9).fill(7), 1, 2, 3]);
  });

  it('offsets are a geometric sequence that reaches the new edge', () => {
    const offsets = geometricOffsets(27, 47);
    expect(offsets[13]).toBe(0);
    expect(offsets[14]).toBe(1);
    expect(offsets[26]).toBeCloseTo(23, 3);
    const gaps = [...offsets.slice(14)].map((v, i) => v - offsets[13 + i]!);
    for (const [i, gap] of gaps.slice(1).entries()) expect(gap / gaps[i]!).toBeCloseTo(gaps[1]!, 10);
  });

  it('refuse a number of rows that no square grid has', () => {
    expect(tableSide(732)).toBe(27);
    for (const wrong of [731, 4 + 3, 3]) expect(() => tableSide(wrong)).toThrow(/no relative position bias/);
  });
});
