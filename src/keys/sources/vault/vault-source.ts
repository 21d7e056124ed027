// A field of a secret in Vault or OpenBao, KV version 2.

import { isObject, memberOf } from '../../../json/untyped.ts'
import type { VaultReference } from '../../../config/secret-schema.ts'
import { didYouMean } from '../../../config/nearest.ts'
import { isShowable } from '../json-text.ts'
import { SourceFault, withoutFinalBreak, type SecretSource } from '../source.ts'
import type { VaultAnswer, VaultClient } from './vault-client.ts'
import { numberIn, outageOf, textIn, wordsOf } from './vault-faults.ts'
import type { VaultSession } from './vault-session.ts'

/** How often a write that another one has overtaken is tried. */
const writeTries = 3

export function vaultSource(reference: VaultReference, client: VaultClient, session: VaultSession): SecretSource {
  const { path, field, address, namespace } = reference
  const place = `the field ${field} of the Vault secret ${path}${namespace === null ? '' : ` in ${namespace}`} at ${address}`
  const wrong = (why: string): SourceFault => new SourceFault('wrong', `${place} cannot be used: ${why}`)
  const absent = (why: string): SourceFault => new SourceFault('absent', `${place} is not there: ${why}`)

  /** The answer to a question about the secret, with a session that is valid. Throws for an outage. */
  async function ask(method: 'GET' | 'POST', signal: AbortSignal, body?: object): Promise<VaultAnswer> {
    const call = { method, path, ...(body === undefined ? {} : { body }) }
    const answer = await withPlace(session.call(signal, (token) => client.call({ ...call, token }, signal)))
    const outage = outageOf(answer, client.name)
    if (outage !== null) throw nameSecret(outage)
    return answer
  }

  /** Faults of the server, which several secrets share, name the secret as well. */
  async function withPlace<T>(work: Promise<T>): Promise<T> {
    return await work.catch((error: unknown) => {
      throw error instanceof SourceFault ? nameSecret(error) : error
    })
  }

  function nameSecret(fault: SourceFault): SourceFault {
    return fault.message.startsWith(place) ? fault : new SourceFault(fault.kind, `${place}: ${fault.message}`)
  }

  async function refusal(doing: 'read' | 'write'): Promise<SourceFault> {
    const isValid = await session.isTokenValid().catch(() => true)
    if (!isValid)
      return new SourceFault(
        'denied',
        `${place} may not be asked for: the token has expired or was revoked; put a new one in its place`,
      )
    const needs = doing === 'read' ? '"read"' : '"create" and "update"'
    return new SourceFault(
      'denied',
      `${place} may not be ${doing === 'read' ? 'read' : 'written'}: the policy of the login needs ${needs} on ${path}`,
    )
  }

  /** Why there is no secret. */
  async function missing(answer: VaultAnswer, signal: AbortSignal): Promise<SourceFault> {
    const metadata = memberOf(memberOf(answer.body, 'data'), 'metadata')
    const version = numberIn(metadata, 'version')
    if (memberOf(metadata, 'destroyed') === true)
      return absent(`version ${version ?? 0} was destroyed; write the key anew`)
    if ((textIn(metadata, 'deletion_time') ?? '') !== '')
      return absent(`version ${version ?? 0} was deleted; undelete it, or write the key anew`)
    if (/invalid path for a versioned/i.test(wordsOf(answer)))
      return wrong('the mount is of KV version 2, and "data" stands at another place of the path')
    return (await mountVersion(signal)) === '1' ? versionOne() : absent('nothing was ever written to this path')
  }

  /** The version of the mount, where everybody may ask for it; null where it is not to be had. */
  async function mountVersion(signal: AbortSignal): Promise<string | null> {
    const answer = await session
      .call(signal, (token) => client.call({ method: 'GET', path: `sys/internal/ui/mounts/${path}`, token }, signal))
      .catch(() => null)
    if (answer?.status !== 200) return null
    const type = textIn(answer.body, 'data', 'type')
    return type === 'kv' || type === 'generic' ? (textIn(answer.body, 'data', 'options', 'version') ?? '1') : null
  }

  function versionOne(): SourceFault {
    return wrong(
      'the mount is of KV version 1; `vault kv enable-versioning` makes it version 2, and then the path holds "data"',
    )
  }

  interface Stored {
    readonly data: object
    /** Null where the server does not tell. */
    readonly version: number | null
  }

  async function readStored(answer: VaultAnswer, signal: AbortSignal): Promise<Stored> {
    if (answer.status === 403) throw await refusal('read')
    if (answer.status === 404) throw nameSecret(await missing(answer, signal))
    if (answer.status !== 200) throw wrong(`Vault answered ${answer.status} to the question`)
    const data = memberOf(memberOf(answer.body, 'data'), 'data')
    const version = numberIn(answer.body, 'data', 'metadata', 'version')
    if (isObject(data)) return { data, version }
    throw version === null ? versionOne() : absent(`version ${version} was deleted; undelete it, or write the key anew`)
  }

  /** What stands there before a write; nothing, at the version that the next one follows, where it was deleted. */
  async function beforeWriting(signal: AbortSignal): Promise<Stored> {
    const answer = await ask('GET', signal)
    if (answer.status !== 404) return await readStored(answer, signal)
    const fault = await missing(answer, signal)
    if (fault.kind !== 'absent') throw fault
    return { data: {}, version: numberIn(answer.body, 'data', 'metadata', 'version') ?? 0 }
  }

  return {
    place,
    async read(signal) {
      const { data, version } = await readStored(await ask('GET', signal), signal)
      if (!Object.hasOwn(data, field))
        throw wrong(`the secret has no such field${didYouMean(field, Object.keys(data).filter(isShowable))}`)
      const text: unknown = Reflect.get(data, field)
      if (typeof text !== 'string') throw wrong('the field is no text')
      return { text: withoutFinalBreak(text), version: version === null ? null : String(version) }
    },
    async write(text, signal) {
      for (let tries = 1; ; tries += 1) {
        const before = await beforeWriting(signal)
        // The other fields stay, and a write that came in between is not undone.
        const answer = await ask('POST', signal, {
          options: before.version === null ? {} : { cas: before.version },
          data: { ...before.data, [field]: text },
        })
        if (answer.status === 200 || answer.status === 204) return
        if (answer.status === 403) throw await refusal('write')
        const isOvertaken = answer.status === 400 && /check-and-set/i.test(wordsOf(answer))
        if (!isOvertaken) throw wrong(`Vault answered ${answer.status} to the new value, and keeps the old one`)
        if (tries === writeTries)
          throw new SourceFault('unavailable', `${place} is being written by somebody else: the old value stays`)
      }
    },
  }
}
