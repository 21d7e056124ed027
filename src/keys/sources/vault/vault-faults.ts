// What answers of Vault and OpenBao mean that are none: as faults in words. Its own words may quote what was sent.

import { memberOf } from '../../../json/untyped.ts'
import { SourceFault } from '../source.ts'
import type { VaultAnswer } from './vault-client.ts'

/** The texts of `errors` and `warnings`, to be searched and never shown. */
export function wordsOf(answer: VaultAnswer): string {
  return [...listAt(answer.body, 'errors'), ...listAt(answer.body, 'warnings')].join('\n')
}

function listAt(body: unknown, key: string): readonly string[] {
  const list = memberOf(body, key)
  return Array.isArray(list) ? list.filter((each) => typeof each === 'string') : []
}

/** A text at a path of members, or null. */
export function textIn(value: unknown, ...path: readonly string[]): string | null {
  const found = path.reduce(memberOf, value)
  return typeof found === 'string' ? found : null
}

/** A number at a path of members, or null. */
export function numberIn(value: unknown, ...path: readonly string[]): number | null {
  const found = path.reduce(memberOf, value)
  return typeof found === 'number' ? found : null
}

/** Answers that say nothing about the secret: the server does not serve at present. Null for any other. */
export function outageOf(answer: VaultAnswer, name: string): SourceFault | null {
  const { status } = answer
  const words = wordsOf(answer)
  if (status === 503 || /vault is sealed|is sealed/i.test(words))
    return new SourceFault(
      'unavailable',
      /sealed/i.test(words)
        ? `${name} is sealed: somebody has to unseal it`
        : `${name} does not serve at present (503)`,
    )
  if (/standby/i.test(words) || (status >= 300 && status < 400))
    return new SourceFault(
      'unavailable',
      `${name} is a standby node that sends its clients elsewhere, and redirects are not followed: name the address of the cluster`,
    )
  if (status === 429) return new SourceFault('unavailable', `${name} refuses more questions for a while (429)`)
  if (status === 412) return new SourceFault('unavailable', `${name} has not heard yet of what was just written (412)`)
  if (status >= 500) return new SourceFault('unavailable', `${name} answered ${status}`)
  return null
}
