// Words of a shell command that people paste.

import { visible } from '../../records/visible.ts'

/** The word, quoted where a shell would read it otherwise. Characters that are not seen are spelled as Bash and zsh read them. */
export function shellWord(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word
  if (visible(word) === word) return `'${word.replaceAll("'", String.raw`'\''`)}'`
  return `$'${[...word].map(spelled).join('')}'`
}

function spelled(character: string): string {
  if (character === "'" || character === '\\') return `\\${character}`
  if (visible(character) === character) return character
  const code = (character.codePointAt(0) ?? 0).toString(16)
  return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`
}

/** An option with its value. A value that begins with a dash has to stand behind an equals sign. */
export function shellOption(name: string, value: string): string {
  return value.startsWith('-') ? `--${name}=${shellWord(value)}` : `--${name} ${shellWord(value)}`
}
