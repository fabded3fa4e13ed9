/** A table's own entry: a name that comes from a file may be 'constructor' or '__proto__'. */
export function lookUp<Value>(table: Readonly<Record<string, Value>>, name: string): Value | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
