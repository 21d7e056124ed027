// The token with which secrets are read: from a place of its own or by a login, renewed before its end, made anew when it has ended.

import { readFile } from 'node:fs/promises'
import { memberOf } from '../../../json/untyped.ts'
import type { LocalReference, VaultAuth } from '../../../config/secret-schema.ts'
import { whyUnreadable } from '../../../config/values/file-errors.ts'
import { localSource } from '../local-source.ts'
import { SourceFault } from '../source.ts'
import type { VaultAnswer, VaultClient } from './vault-client.ts'
import { numberIn, outageOf, textIn, wordsOf } from './vault-faults.ts'

interface Token {
  readonly value: string
  /** On the monotonic clock; Infinity for one without an end. */
  endsAtMs: number
}

export interface VaultSessionOptions {
  readonly client: VaultClient
  readonly auth: VaultAuth
  readonly env: Readonly<Record<string, string | undefined>>
  /** Monotonic clock, milliseconds. */
  readonly monotonic: () => number
}

export type VaultSession = ReturnType<typeof createVaultSession>

const loginMs = 8_000
/** So long a refused login is remembered: servers lock names out after a few. */
const refusedMs = 5_000
/** So long it is remembered that a server is away, so that many keys ask once. */
const awayMs = 500
/** A token that ends so soon is not used for another call. */
const spareMs = 2_000
/** A timer takes no longer times. */
const longestTimerMs = 12 * 3_600_000

export function createVaultSession({ client, auth, env, monotonic }: VaultSessionOptions) {
  let current: Token | null = null
  let loggingIn: Promise<Token> | null = null
  let refused: { readonly fault: SourceFault; readonly atMs: number } | null = null
  let timer: NodeJS.Timeout | null = null
  let isClosed = false
  const closing = new AbortController()

  async function tokenNow(): Promise<Token> {
    // An agent beside the gateway may have replaced it.
    if ('token' in auth) return await ownToken(auth.token)
    if (current !== null && current.endsAtMs - spareMs > monotonic()) return current
    if (refused !== null) {
      const rememberedMs = refused.fault.kind === 'unavailable' ? awayMs : refusedMs
      if (monotonic() - refused.atMs < rememberedMs) throw refused.fault
    }
    loggingIn ??= login(auth).finally(() => {
      loggingIn = null
    })
    return await loggingIn
  }

  async function ownToken(reference: LocalReference): Promise<Token> {
    const value = await readLocal(reference, 'token')
    if (current?.value === value) return current
    loggingIn ??= lookAt(value).finally(() => {
      loggingIn = null
    })
    return await loggingIn
  }

  async function lookAt(value: string): Promise<Token> {
    const token: Token = { value, endsAtMs: Infinity }
    const answer = await client.call({ method: 'GET', path: 'auth/token/lookup-self', token: value }, deadline())
    // The reading itself tells what is wrong, and the next one looks again.
    if (outageOf(answer, client.name) !== null) return token
    // A token may be forbidden to look at itself; then its end shows when it has come.
    const ttl = answer.status === 200 ? (numberIn(answer.body, 'data', 'ttl') ?? 0) : 0
    current = token
    if (ttl > 0) last(token, ttl, memberOf(memberOf(answer.body, 'data'), 'renewable') === true)
    return token
  }

  async function login(method: Exclude<VaultAuth, { token: LocalReference }>): Promise<Token> {
    try {
      const { mount, body, what } = await credentials(method)
      const answer = await client.call({ method: 'POST', path: `auth/${mount}/login`, token: null, body }, deadline())
      const value = textIn(answer.body, 'auth', 'client_token')
      if (answer.status !== 200 || value === null || value === '') throw loginFault(answer, mount, what)
      const token: Token = { value, endsAtMs: Infinity }
      current = token
      refused = null
      const seconds = numberIn(answer.body, 'auth', 'lease_duration') ?? 0
      if (seconds > 0) last(token, seconds, memberOf(memberOf(answer.body, 'auth'), 'renewable') === true)
      return token
    } catch (error) {
      if (error instanceof SourceFault) refused = { fault: error, atMs: monotonic() }
      throw error
    }
  }

  async function credentials(
    method: Exclude<VaultAuth, { token: LocalReference }>,
  ): Promise<{ mount: string; body: object; what: string }> {
    if ('approle' in method) {
      const { roleId, secretId, mount } = method.approle
      const body = {
        role_id: typeof roleId === 'string' ? roleId : await readLocal(roleId, 'role ID'),
        secret_id: await readLocal(secretId, 'secret ID'),
      }
      return { mount, body, what: 'the role ID or the secret ID is wrong, used up or expired' }
    }
    const { role, path, mount } = method.kubernetes
    const jwt = await readFile(path, 'utf8').catch((error: unknown) => {
      throw new SourceFault('absent', `${client.name}: ${path}, the service account's token: ${whyUnreadable(error)}`)
    })
    return {
      mount,
      body: { role, jwt: jwt.trim() },
      what: `the role "${role}" does not exist, or does not let this service account in`,
    }
  }

  async function readLocal(reference: LocalReference, what: string): Promise<string> {
    const source = localSource(reference, env)
    const { text } = await source.read(deadline()).catch((error: unknown) => {
      const kind = error instanceof SourceFault ? error.kind : 'unavailable'
      throw new SourceFault(
        kind,
        `${client.name}: the ${what} is to be read from ${source.place}, which cannot be read`,
      )
    })
    if (/^[\x21-\x7e]+$/.test(text)) return text
    throw new SourceFault(
      'wrong',
      `${client.name}: the ${what} in ${source.place} is empty, or holds more than one word`,
    )
  }

  function loginFault(answer: VaultAnswer, mount: string, what: string): SourceFault {
    const outage = outageOf(answer, client.name)
    if (outage !== null) return outage
    if (answer.status === 404 || /no handler for route|unsupported path/i.test(wordsOf(answer)))
      return new SourceFault(
        'denied',
        `${client.name} has no login at auth/${mount}: look at \`mount\` and \`namespace\``,
      )
    return new SourceFault('denied', `${client.name} refused the login at auth/${mount}: ${what}`)
  }

  /** The token lasts so long, and is renewed well before its end. */
  function last(token: Token, seconds: number, isRenewable: boolean): void {
    const leftMs = seconds * 1000
    token.endsAtMs = monotonic() + leftMs
    if (isRenewable) plan(token, (leftMs * 2) / 3)
  }

  function plan(token: Token, afterMs: number): void {
    if (timer !== null) clearTimeout(timer)
    if (isClosed) return
    timer = setTimeout(() => void renew(token), Math.min(afterMs, longestTimerMs)).unref()
  }

  async function renew(token: Token): Promise<void> {
    if (current !== token) return
    const path = 'auth/token/renew-self'
    const answer = await client
      .call({ method: 'POST', path, token: token.value, body: {} }, deadline())
      .catch(() => null)
    if (current !== token) return
    const seconds = answer?.status === 200 ? (numberIn(answer.body, 'auth', 'lease_duration') ?? 0) : 0
    if (seconds > 0) {
      last(token, seconds, memberOf(memberOf(answer?.body, 'auth'), 'renewable') === true)
      return
    }
    // It may only have been a bad moment: once more before the end, at which a login follows.
    const leftMs = token.endsAtMs - monotonic()
    if (leftMs > spareMs) plan(token, Math.max(1_000, leftMs / 3))
  }

  async function isAccepted({ value }: Token): Promise<boolean> {
    return (
      (await client.call({ method: 'GET', path: 'auth/token/lookup-self', token: value }, deadline())).status === 200
    )
  }

  /** A login that several wait for goes on when one of them leaves. */
  async function unlessAborted(work: Promise<Token>, signal: AbortSignal): Promise<Token> {
    const left = Promise.withResolvers<never>()
    const leave = (): void => left.reject(new SourceFault('unavailable', `${client.name} gave no answer in time`))
    if (signal.aborted) leave()
    signal.addEventListener('abort', leave)
    try {
      return await Promise.race([work, left.promise])
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  function deadline(): AbortSignal {
    return AbortSignal.any([AbortSignal.timeout(loginMs), closing.signal])
  }

  return {
    /** Calls with a valid token; once more with a new one where the server no longer accepts a token that was made by a login. */
    async call(signal: AbortSignal, ask: (token: string) => Promise<VaultAnswer>): Promise<VaultAnswer> {
      const token = await unlessAborted(tokenNow(), signal)
      const answer = await ask(token.value)
      // A policy that forbids it forbids it to a new token as well.
      if (answer.status !== 403 || 'token' in auth || (await isAccepted(token))) return answer
      if (current === token) current = null
      return await ask((await unlessAborted(tokenNow(), signal)).value)
    },
    /** Whether the server still accepts the token, for the words about a refusal. */
    isTokenValid: async (): Promise<boolean> => current !== null && (await isAccepted(current)),
    /** Ends the session: a token that was made by a login is revoked. */
    async close(): Promise<void> {
      isClosed = true
      if (timer !== null) clearTimeout(timer)
      const token = current
      current = null
      if (token !== null && !('token' in auth))
        await client
          .call(
            { method: 'POST', path: 'auth/token/revoke-self', token: token.value, body: {} },
            AbortSignal.timeout(1_000),
          )
          .catch(() => {})
      closing.abort()
    },
  }
}
