// Member names that JSON.parse can be an oracle for.

/**
 * False for a name that is one escaped character, like that of `{"\n":0}`: V8 reads it as a backslash once it has read the
 * name `\\` (V8 13.6 to 14.6, nodejs/node#63785).
 */
export function isNameReadRight(name: string): boolean {
  return name.length !== 1 || JSON.stringify(name).length === 3
}

/** Whether that holds for all names in a JSON value. */
export function areNamesReadRight(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([name, member]) => isNameReadRight(name) && areNamesReadRight(member))
}
