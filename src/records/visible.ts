// Text that is seen as it is: without characters that move the cursor, turn the direction of what follows, or have no width.

/** Controls, marks of format (direction, no width, tags), halves of a character, separators of lines and paragraphs, fillers and joiners. */
const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu

/** The text with every such character written as `\u202e`; a JSON text stays the same JSON. */
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
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at))
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}
