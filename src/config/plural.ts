// Counts in messages: one warning, two warnings.

/** The word that fits behind a count. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return count === 1 ? one : many
}

/** `1 warning`, `2 warnings`. */
export function counted(count: number, one: string, many?: string): string {
  return `${count} ${plural(count, one, many)}`
}
