// Reads JSON of which nothing is known yet, as JSON.parse gives it. Pure.

/** An object as JSON.parse gives it. */
export type UntypedObject = Readonly<Record<string, unknown>>

/** Whether a parsed JSON value is an object, neither null nor a list. */
export function isObject(value: unknown): value is UntypedObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A member of a parsed JSON value; undefined where there is none. */
export function memberOf(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
}

/** The object that a text is as JSON; null for any other text. `reviver`: as `JSON.parse` takes it. */
export function parseObject(text: string, reviver?: Parameters<typeof JSON.parse>[1]): UntypedObject | null {
  try {
    const value: unknown = JSON.parse(text, reviver)
    return isObject(value) ? value : null
  } catch {
    return null
  }
}
