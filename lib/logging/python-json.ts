/**
 * A float as Python's `repr` and `json.dumps` print it: shortest digits that read back equal, always recognisable
 * as a float (`3.0`), exponents below 1e-4 and from 1e16 on (`1e-05`); `NaN`, `Infinity`, `-Infinity`.
 */
export function pythonFloat(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const match = /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(value.toExponential());
  if (match === null) throw new Error(`not in exponential notation: ${value}`);
  const [, sign = '', first = '', fraction = '', power = '0'] = match;
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const mantissa = fraction === '' ? first : `${first}.${fraction}`;
    const padded = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${mantissa}e${exponent < 0 ? '-' : '+'}${padded}`;
  }
  const digits = first + fraction;
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`;
}

/** One `"key": value` pair list between braces, with the separators of Python's `json.dumps`. */
export function pythonObject(pairs: ReadonlyArray<readonly [key: string, json: string]>): string {
  return `{${pairs.map(([key, json]) => `${JSON.stringify(key)}: ${json}`).join(', ')}}`;
}
