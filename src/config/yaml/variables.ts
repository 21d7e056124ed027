// Expands `${NAME}` and `${NAME:-default}` in a text. Pure: the environment is passed in.

import { didYouMean } from '../nearest.ts'
import { quoted, type Parsed } from '../units.ts'

const reference = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{/g

/**
 * The text with its variables replaced. A default applies when the variable is unset or empty, as in a shell; `$${`
 * is a literal `${`. Values are not expanded again, so a value cannot name another variable.
 */
export function expandVariables(text: string, env: Readonly<Record<string, string | undefined>>): Parsed<string> {
  const errors: string[] = []
  const value = text.replaceAll(
    reference,
    (written: string, name: string | undefined, fallback: string | undefined) => {
      if (written === '$${') return '${'
      if (name === undefined) {
        errors.push(
          '"${" begins a variable: write ${NAME} or ${NAME:-default}, or $${ for the two characters themselves',
        )
        return written
      }
      if (fallback?.includes('${') === true)
        errors.push(`the default of ${name} holds another variable: a default is a plain text, so set ${name} itself`)
      const found = Object.hasOwn(env, name) ? env[name] : undefined
      if (fallback !== undefined) return found === undefined || found === '' ? fallback : found
      if (found === undefined)
        errors.push(
          `the environment variable ${name} is not set: set it, or give a default with \${${name}:-default}${didYouMean(name, Object.keys(env))}`,
        )
      return found ?? written
    },
  )
  return errors.length > 0 ? { error: errors.join('; ') } : { value }
}

const bare =
  /(?<![$\\])(?:\$(?<shell>[A-Za-z_][A-Za-z0-9_]*)|\$\((?<make>[A-Za-z_][A-Za-z0-9_]*)\)|%(?<windows>[A-Z_][A-Z0-9_]*)%)/
const template = /\{\{.*?\}\}|\{%.*?%\}|<%.*?%>/
/** Words in angle brackets; addresses and markup are something else. */
const placeholder = /<[A-Za-z][\w .-]*>/

/**
 * What looks as if something else should stand in its place: a variable in a spelling that is not replaced, like `$NAME`, a
 * template, a placeholder. With `advice` no variable is replaced at all. Null where there is nothing of the kind.
 */
export function unreplaced(text: string, advice: string | null): string | null {
  const mark = template.exec(text)?.[0]
  if (mark !== undefined) return `"${mark}" is a template, and templates are not filled in here: render the file first`
  const gap = placeholder.exec(text)?.[0]
  if (gap !== undefined) return `"${gap}" is a placeholder: write the value itself`
  const braced = advice === null ? undefined : /\$\{[^}]*\}?/.exec(text)?.[0]
  const found = bare.exec(text)
  const { shell, make, windows } = found?.groups ?? {}
  const name = shell ?? make ?? windows
  if (braced !== undefined)
    return `${quoted(braced)} stands for itself, because variables are not replaced in this file: ${advice}`
  // A password holds any sign.
  if (found === null || name === undefined || text.includes('@')) return null
  return advice === null
    ? `"${found[0]}" is not replaced: a variable is written \${${name}}`
    : `"${found[0]}" stands for itself, because variables are not replaced in this file: ${advice}`
}
