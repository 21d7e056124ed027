// Text that is seen as it is: without characters that move the cursor, turn the direction of what follows, or have no width.

/** Controls, marks of format (direction, no width, tags), separators of lines and paragraphs. */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

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
