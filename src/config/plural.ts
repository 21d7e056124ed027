// Counts in messages: one warning, two warnings. Texts of others in them, cut off.

/** The word that fits behind a count. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return count === 1 ? one : many
}

/** `1 warning`, `2 warnings`. */
export function counted(count: number, one: string, many?: string): string {
  return `${count} ${plural(count, one, many)}`
}

/** The text, or its beginning with `…` behind it where it is longer than so many characters. */
export function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text
}
