// What the suites of identity/ share: settings for a test issuer, a clock that is set by hand and a log that remembers.

import { onTestFinished } from 'vitest'
import type { IssuerConfig } from '../../src/config/issuer-schema.ts'
import type { IdentityLog } from '../../src/identity/signing-keys/signing-keys.ts'
import {
  createTokenVerifier,
  type TokenVerifier,
  type TokenVerifierOptions,
} from '../../src/identity/token-verifier.ts'
import { Problem } from '../../src/problems.ts'
import { startIssuer, type Issuer, type IssuerOptions } from '../support/issuer.ts'

export function settingsOf(issuer: string, changes: Partial<IssuerConfig> = {}): IssuerConfig {
  return {
    issuer,
    audience: ['devin-gateway'],
    jwksUri: null,
    algorithms: ['ES256', 'RS256'],
    clockToleranceMs: 30_000,
    maxLifetimeMs: 24 * 60 * 60_000,
    emailVerified: 'optional',
    ca: null,
    claims: { subject: 'sub', email: 'email', groups: 'groups', app: 'azp' },
    ...changes,
  }
}

/** The real time plus what was added by hand. */
export interface Clock {
  readonly now: () => number
  readonly monotonic: () => number
  advance(ms: number): void
  /** Sets the clock on the wall alone. */
  step(ms: number): void
}

export function createClock(): Clock {
  let offsetMs = 0
  let stepMs = 0
  return {
    now: () => Date.now() + offsetMs + stepMs,
    monotonic: () => performance.now() + offsetMs,
    advance(ms) {
      offsetMs += ms
    },
    step(ms) {
      stepMs += ms
    },
  }
}

/** Lines as `level message {fields}`. */
export function createLog(): IdentityLog & { readonly lines: string[] } {
  const lines: string[] = []
  const write = (level: string) => (fields: object, message: string) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields)}`)
  }
  return { lines, info: write('info'), warn: write('warn'), error: write('error') }
}

/** A test issuer that ends with the test. */
export async function issuerForTest(options: IssuerOptions = {}): Promise<Issuer> {
  const issuer = await startIssuer(options)
  onTestFinished(() => issuer.stop())
  return issuer
}

export type VerifierChanges = Partial<TokenVerifierOptions>

/** A verifier that ends with the test; not started. Takes tokens, which it sends as an Authorization field would. */
export function verifierForTest(issuers: readonly IssuerConfig[], changes: VerifierChanges = {}): TokenVerifier {
  const verifier = createTokenVerifier({
    issuers,
    now: Date.now,
    monotonic: () => performance.now(),
    log: createLog(),
    ...changes,
  })
  onTestFinished(() => verifier.close())
  return { ...verifier, verify: (token) => verifier.verify(`Bearer ${token}`) }
}

/** What a call refused with, as `kind/reason`, or `accepted`. Anything else that is thrown fails the test. */
export async function outcomeOf(call: () => unknown): Promise<string> {
  const problem = await problemOf(call)
  return problem === null ? 'accepted' : `${problem.kind}/${problem.reason}`
}

/** The problem that a call hands on or throws, or null when it ends well. */
export async function problemOf(call: () => unknown): Promise<Problem | null> {
  try {
    const result = await call()
    return result instanceof Problem ? result : null
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  }
}

/** How often the issuer was asked for its key set. */
export const jwksFetches = (issuer: Issuer): number => issuer.requests.filter((path) => path === '/jwks').length

/** A token with a key id that the issuer does not have. */
export const unknown = (issuer: Issuer, kid: string): Promise<string> => issuer.sign({}, { header: { kid } })

/** An issuer and a started verifier of it, under a clock that is set by hand. */
export async function setUp(changes: VerifierChanges = {}, settings: Partial<IssuerConfig> = {}) {
  const issuer = await issuerForTest()
  const clock = createClock()
  const log = createLog()
  const verifier = verifierForTest([settingsOf(issuer.issuer, settings)], {
    now: clock.now,
    monotonic: clock.monotonic,
    log,
    ...changes,
  })
  await verifier.start()
  const outcome = (token: Promise<string>) => outcomeOf(async () => verifier.verify(await token))
  return { issuer, clock, log, verifier, outcome }
}
