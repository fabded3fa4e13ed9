/** What JSON.parse gives. */
export type Json = string | number | boolean | null | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json | undefined;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Steps from the root of a JSON document to a place in it. */
export type JsonPath = readonly (string | number)[];

/** What lies at a path, or undefined. */
export function jsonAt(root: Json, path: JsonPath): Json | undefined {
  let value: Json | undefined = root;
  for (const step of path) {
    if (Array.isArray(value) && typeof step === 'number') value = value[step];
    else if (isObject(value)) value = value[step];
    else return undefined;
  }
  return value;
}
