// What a JSON schema of an OpenAPI document says of a value: its members, the values it takes, its type.

import { itemsOf, objectOf, textOf, type SpecObject, type OpenApiDocument } from './document.ts'

export type FieldKind = 'text' | 'number' | 'boolean' | 'object' | 'list'

/** A member of an object, or a parameter. */
export interface Field {
  readonly required: boolean
  /** Null: any value, or it is not known which. */
  readonly values: readonly string[] | null
  /** Null: several, or it is not known which. */
  readonly kind: FieldKind | null
}

/** Members by name. */
export type Members = ReadonlyMap<string, Field>

export interface SchemaReader {
  /** The members of an object, those of all alternatives together; null when the schema names none. */
  members(schema: unknown): Members | null
  /** What a schema says of a single value. */
  field(schema: unknown): Omit<Field, 'required'>
}

const kinds: Readonly<Record<string, FieldKind>> = {
  string: 'text',
  integer: 'number',
  number: 'number',
  boolean: 'boolean',
  object: 'object',
  array: 'list',
}

/** Reads schemas of one document. Each is read once, however often it is used; one that holds itself ends there. */
export function schemaReader(follow: OpenApiDocument['follow']): SchemaReader {
  const none: Members = new Map()
  const members = once(none, membersOf)
  const values = once<readonly string[] | null>(null, valuesOf)
  const kind = once<FieldKind | null>(null, kindOf)

  /** Makes a function of schemas that remembers its results and gives `meanwhile` where it is asked within itself. */
  function once<T>(meanwhile: T, read: (object: SpecObject) => T): (schema: unknown) => T {
    const known = new Map<SpecObject, T>()
    return (schema) => {
      const object = follow(schema)
      if (object === null) return meanwhile
      const before = known.get(object)
      if (before !== undefined) return before
      known.set(object, meanwhile)
      const found = read(object)
      known.set(object, found)
      return found
    }
  }

  function field(schema: unknown): Omit<Field, 'required'> {
    return { values: values(schema), kind: kind(schema) }
  }

  function membersOf(object: SpecObject): Members {
    const found = new Map<string, Field>()
    for (const [name, member] of Object.entries(objectOf(object['properties']) ?? {})) {
      found.set(name, { ...field(member), required: false })
    }
    for (const part of itemsOf(object['allOf'])) {
      for (const [name, member] of members(part)) {
        const before = found.get(name) ?? member
        found.set(name, { ...before, required: before.required || member.required })
      }
    }
    for (const keyword of ['anyOf', 'oneOf']) {
      const alternatives = itemsOf(object[keyword])
        .map(members)
        .filter((part) => part.size > 0)
      for (const [name, member] of alternatives.flatMap((part) => [...part])) {
        const everywhere = alternatives.every((part) => part.get(name)?.required === true)
        if (!found.has(name)) found.set(name, { ...member, required: everywhere })
      }
    }
    for (const name of itemsOf(object['required'])) {
      const member = typeof name === 'string' ? found.get(name) : undefined
      if (member !== undefined && typeof name === 'string') found.set(name, { ...member, required: true })
    }
    return found
  }

  /** The values that are allowed; of a list, those of its items. */
  function valuesOf(object: SpecObject): readonly string[] | null {
    const fixed = Object.hasOwn(object, 'const') ? [object['const']] : object['enum']
    if (Array.isArray(fixed)) return fixed.filter((value) => value !== null).map(String)
    for (const keyword of ['anyOf', 'oneOf']) {
      const parts = alternativesOf(object, keyword)
      if (parts.length === 0) continue
      const each = parts.map(values)
      return each.some((found) => found === null) ? null : [...new Set(each.flatMap((found) => found ?? []))]
    }
    const all = itemsOf(object['allOf'])
      .map(values)
      .find((found) => found !== null)
    return all ?? (object['items'] === undefined ? null : values(object['items']))
  }

  function kindOf(object: SpecObject): FieldKind | null {
    const types = [object['type']].flat().filter((type) => type !== 'null' && type !== undefined)
    if (types.length > 0) return single(types.map((type) => kinds[textOf(type) ?? ''] ?? null))
    for (const keyword of ['anyOf', 'oneOf', 'allOf']) {
      const parts = alternativesOf(object, keyword)
      if (parts.length > 0) return single(parts.map(kind))
    }
    if (object['properties'] !== undefined) return 'object'
    return Array.isArray(object['enum']) ? 'text' : null
  }

  /** The alternatives of a keyword but for null. */
  function alternativesOf(object: SpecObject, keyword: string): readonly unknown[] {
    return itemsOf(object[keyword]).filter((part) => follow(part)?.['type'] !== 'null')
  }

  return {
    members: (schema) => {
      const found = members(schema)
      return found.size === 0 ? null : found
    },
    field,
  }
}

function single(found: readonly (FieldKind | null)[]): FieldKind | null {
  const [first = null] = found
  return found.every((each) => each === first) ? first : null
}
