// Expands `${NAME}` and `${NAME:-default}` in a text. Pure: the environment is passed in.

import { didYouMean } from '../nearest.ts'
import type { Parsed } from '../units.ts'

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

const bare = /(?<![$\\])(?:\$(?<shell>[A-Za-z_][A-Za-z0-9_]*)|%(?<windows>[A-Z_][A-Z0-9_]*)%)/

/** A variable in a spelling that is not replaced, like `$NAME`; null where there is none. */
export function unreplacedVariable(text: string): { readonly written: string; readonly name: string } | null {
  const found = bare.exec(text)
  const name = found?.groups?.['shell'] ?? found?.groups?.['windows']
  return found === null || name === undefined ? null : { written: found[0], name }
}
