// Reading flat field lists (name and value alternating, names in lower case) and the list syntax of RFC 9110 section 5.6.1.

/** The combined value of a field (RFC 9110 section 5.3); null when there is none. */
export function fieldValue(fields: readonly string[], name: string): string | null {
  let value: string | null = null
  for (let index = 0; index < fields.length; index += 2) {
    if (fields[index] === name) value = value === null ? (fields[index + 1] ?? '') : `${value}, ${fields[index + 1]}`
  }
  return value
}

/** The value of the first line of a field; null when there is none. */
export function firstValue(fields: readonly string[], name: string): string | null {
  for (let index = 0; index < fields.length; index += 2) if (fields[index] === name) return fields[index + 1] ?? ''
  return null
}

export function countLines(fields: readonly string[], name: string): number {
  let count = 0
  for (let index = 0; index < fields.length; index += 2) if (fields[index] === name) count += 1
  return count
}

/** The list without the fields that `drop` names. */
export function withoutFields(fields: readonly string[], drop: (name: string) => boolean): string[] {
  const kept: string[] = []
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] ?? ''
    if (!drop(name)) kept.push(name, fields[index + 1] ?? '')
  }
  return kept
}

/**
 * The members of a comma-separated list, trimmed, without empty ones. Commas inside quoted strings do not separate. One pass,
 * whatever the quotes: callers choose these values.
 */
export function listMembers(value: string): string[] {
  const members: string[] = []
  let start = 0
  let quoted = false
  for (let index = 0; index <= value.length; index += 1) {
    const char = value[index]
    if (char === '"') quoted = !quoted
    else if (char === '\\' && quoted) index += 1
    else if (index === value.length || (char === ',' && !quoted)) {
      const member = value.slice(start, index).trim()
      if (member !== '') members.push(member)
      start = index + 1
    }
  }
  // A string that never ends, and one that ends in a lone backslash, take in all that follows.
  const rest = value.slice(start).trim()
  if (rest !== '') members.push(rest)
  return members
}
