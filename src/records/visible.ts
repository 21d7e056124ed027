// Text that is seen as it is: without characters that move the cursor, turn the direction of what follows, or have no width.

/** Controls, directional marks, overrides and isolates, what has no width, line separators, tags. */
const unseen =
  /[\u0000-\u001F\u007F-\u009F\u00AD\u061C\u180E\u200B-\u200F\u2028-\u202E\u2060-\u206F\uFEFF\uFFF9-\uFFFB\u{E0000}-\u{E007F}]/gu

/** The text with every such character as `\u202e` is written. */
export function visible(text: string): string {
  return text.replace(unseen, escaped)
}

/** The same for text of several lines: line feeds and tabs stay. */
export function visibleLines(text: string): string {
  return text.replace(unseen, (character) =>
    character === '\n' || character === '\t' ? character : escaped(character),
  )
}

function escaped(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16)
  return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, '0')}`
}
