/** Aligned columns: numbers to the right, the rest to the left. */
export function textTable(head: readonly string[], rows: readonly (readonly (string | number | undefined)[])[]): string {
  const cells = rows.map((row) => row.map(cellText));
  const numeric = head.map((_, column) => rows.some((row) => typeof row[column] === 'number')
    && rows.every((row) => row[column] === undefined || typeof row[column] === 'number'));
  const widths = head.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (numeric[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!))).join('  ').trimEnd();
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...cells.map(line), ''].join('\n');
}

/** Whole numbers with separators, others with four significant digits. */
export function figure(value: number): string {
  if (Number.isNaN(value)) return '';
  if (Number.isInteger(value)) return value.toLocaleString('en-US');
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

/** `name  value` lines. */
export function textFacts(facts: readonly (readonly [string, string | number | undefined])[]): string {
  const known = facts.filter(([, value]) => value !== undefined && value !== '');
  const width = Math.max(0, ...known.map(([name]) => name.length));
  return known.map(([name, value]) => `${name.padEnd(width)}  ${cellText(value)}\n`).join('');
}

export function textFindings(findings: readonly { readonly severity: string; readonly place: string; readonly message: string }[]): string {
  return findings.map(({ severity, place, message }) => `${severity}: ${place}: ${message}\n`).join('');
}

function cellText(value: string | number | undefined): string {
  if (value === undefined) return '';
  return typeof value === 'number' ? figure(value) : value;
}
