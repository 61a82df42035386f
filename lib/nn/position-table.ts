/**
 * The fixed sine-cosine position table. With p = width/4 and ω_i = 10000^(−i/p), the patch at (row r, column c) gets
 * [sin(rω), cos(rω), sin(cω), cos(cω)]; row 0, the cls token's, is zeros. Computed as the reference does, in float64,
 * rounded once.
 * @returns [1 + gridHeight·gridWidth, width]
 * @throws Error if the width does not divide by 4
 */
export function positionTable(gridHeight: number, gridWidth: number, width: number): Float32Array {
  if (width % 4 !== 0) throw new Error(`position table: width ${width} does not divide by 4`);
  const quarter = width / 4;
  const table = new Float32Array((1 + gridHeight * gridWidth) * width);
  for (let r = 0; r < gridHeight; r++) {
    for (let c = 0; c < gridWidth; c++) {
      const at = (1 + r * gridWidth + c) * width;
      for (let i = 0; i < quarter; i++) {
        const omega = 1 / 10000 ** (i / quarter);
        table[at + i] = Math.sin(r * omega);
        table[at + quarter + i] = Math.cos(r * omega);
        table[at + 2 * quarter + i] = Math.sin(c * omega);
        table[at + 3 * quarter + i] = Math.cos(c * omega);
      }
    }
  }
  return table;
}
