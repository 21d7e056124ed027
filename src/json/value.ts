// What a strict JSON document holds: numbers by their source texts, objects without prototype. Walked by dotted paths, and
// written again as it was. Guardrails and filters change it.

import { compareNumbers } from './decimal.ts'

/** A parsed document. Numbers keep their source text; objects have no prototype, so `__proto__` is a member like others. */
export type StrictJson = null | boolean | string | JsonNumber | readonly StrictJson[] | JsonObject

/** Members in source order, but for names that are array indices (`"0"`, `"17"`), which come first. */
export interface JsonObject {
  readonly [member: string]: StrictJson
}

/** A number as it was written, so that 20-digit integers, `1.0` and `1e400` come out as they went in. */
export class JsonNumber {
  /** Source text in the number grammar of RFC 8259 section 6; not checked again. */
  readonly raw: string

  constructor(raw: string) {
    this.raw = raw
  }

  /**
   * The same number as a double, or null where the nearest double would be another number (too many digits, overflow,
   * underflow). Two numbers that are not null compare as their source texts do, so a bound can be trusted.
   */
  toNumber(): number | null {
    const nearest = Number(this.raw)
    if (/^-?[0-9]{1,15}$/.test(this.raw)) return nearest
    return Number.isFinite(nearest) && compareNumbers(this.raw, String(nearest)) === 0 ? nearest : null
  }

  toString(): string {
    return this.raw
  }
}

/** A number for a value that is about to be serialised. Throws RangeError for NaN and the infinities. */
export function jsonNumber(value: number): JsonNumber {
  if (!Number.isFinite(value)) throw new RangeError(`${value} has no JSON form`)
  return new JsonNumber(JSON.stringify(value))
}

/** The document as bytes without white space, numbers by their source text. Parsing it again gives an equal value. */
export function serializeStrictJson(value: StrictJson): Buffer {
  return Buffer.from(textOf(value))
}

/** Whether a value is an object, and neither array, number nor null. */
export function isJsonObject(value: StrictJson): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber)
}

/**
 * Every value at a dotted path such as `groups.*.org_ids.*`; empty when there is none, so an absent member and a null one
 * differ. `*` stands for each item of an array and each member of an object; where a list was expected and a bare string,
 * number or boolean stands, it stands for that, since a lenient upstream could read it as a list of one.
 */
export function memberAt(value: StrictJson, path: string): StrictJson[] {
  let reached: StrictJson[] = [value]
  for (const step of path.split('.')) {
    reached = step === '*' ? reached.flatMap(itemsOf) : reached.flatMap((container) => memberOf(container, step))
  }
  return reached
}

function itemsOf(value: StrictJson): readonly StrictJson[] {
  if (value === null) return []
  if (Array.isArray(value)) return value
  return isJsonObject(value) ? Object.values(value) : [value]
}

function memberOf(container: StrictJson, name: string): StrictJson[] {
  if (!isJsonObject(container) || !Object.hasOwn(container, name)) return []
  const value = container[name]
  return value === undefined ? [] : [value]
}

/**
 * The same with plain numbers, as JSON.parse gives it, where exact digits do not matter. Objects have no prototype.
 */
export function plainJson(value: StrictJson): unknown {
  if (value instanceof JsonNumber) return Number(value.raw)
  if (Array.isArray(value)) return value.map(plainJson)
  if (!isJsonObject(value)) return value
  const members = Object.create(null) as { [member: string]: unknown }
  for (const name in value) members[name] = plainJson(value[name] ?? null)
  return members
}

function textOf(value: StrictJson): string {
  if (value instanceof JsonNumber) return value.raw
  if (Array.isArray(value)) return `[${value.map(textOf).join(',')}]`
  if (!isJsonObject(value)) return JSON.stringify(value)
  let members = ''
  for (const name in value)
    members += `${members === '' ? '' : ','}${JSON.stringify(name)}:${textOf(value[name] ?? null)}`
  return `{${members}}`
}
