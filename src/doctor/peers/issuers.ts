// The issuers of the configuration: reached, the right one, with keys that fit.

import type { Config } from '../../config/load.ts'
import type { IssuerConfig } from '../../config/issuer-schema.ts'
import { counted } from '../../config/plural.ts'
import { isObject } from '../../json/untyped.ts'
import { FetchFailed, fetchJson, type FetchedJson } from '../../identity/signing-keys/json-fetch.ts'
import { findKeySetAddress, metadataAddresses } from '../../identity/signing-keys/key-set-address.ts'
import { parseKeySet } from '../../identity/signing-keys/key-set.ts'
import type { Examination } from '../examination.ts'
import type { Findings } from '../finding.ts'
import { aheadOf, type ClockReading } from '../network/clocks.ts'
import { addPeerFindings, type PeerWords } from '../network/peer.ts'
import { probe, probeTargetOf } from '../network/probe.ts'

/** One examination for each issuer, that of operators included where it is another one. */
export function issuerExaminations(
  { issuers, admin: { auth } }: Pick<Config, 'issuers' | 'admin'>,
  withinMs: number,
  onClock: (reading: ClockReading) => void,
): readonly Examination[] {
  const all = issuers.map((issuer, index) => ({ issuer, setting: `issuers[${index}]` }))
  if (auth !== null && !issuers.some(({ issuer }) => issuer === auth.issuer.issuer))
    all.push({ issuer: auth.issuer, setting: 'admin.auth' })
  return all.map(({ issuer, setting }) => ({
    area: 'issuer',
    about: issuer.issuer,
    examine: (found, signal) => examineIssuer(found, issuer, setting, { signal, withinMs, onClock }),
  }))
}

interface Means {
  readonly signal: AbortSignal
  readonly withinMs: number
  readonly onClock: (reading: ClockReading) => void
}

async function examineIssuer(found: Findings, issuer: IssuerConfig, setting: string, means: Means): Promise<void> {
  const first = issuer.jwksUri ?? metadataAddresses(new URL(issuer.issuer))[0]?.href ?? issuer.issuer
  const words: PeerWords = {
    name: 'The issuer',
    setting: `${setting}.${issuer.jwksUri === null ? 'issuer' : 'jwks_uri'}`,
    caSetting: `${setting}.ca`,
  }
  if (!(await isReachable(found, new URL(first), issuer, words, means))) return
  const options = fetchOptions(issuer, means)
  const address = await orFault(findKeySetAddress(issuer, options))
  if (address instanceof FetchFailed) {
    found.error(
      'metadata',
      `The metadata document of the issuer cannot be used: ${address.message}.`,
      `Correct ${setting}.issuer, or name the key set in ${setting}.jwks_uri.`,
    )
    return
  }
  if (issuer.jwksUri === null)
    found.ok('metadata', `the metadata document names this issuer, and its keys at ${address.href}`)
  else await compareMetadata(found, issuer, setting, means)
  if (new URL(first).host !== address.host) {
    const ofKeys = { ...words, name: 'The key set of the issuer', setting: 'the metadata document of the issuer' }
    if (!(await isReachable(found, address, issuer, ofKeys, means))) return
  }
  await examineKeys(found, issuer, setting, await orFault(fetchJson(address, options)))
}

async function isReachable(
  found: Findings,
  address: URL,
  issuer: IssuerConfig,
  words: PeerWords,
  { signal, onClock }: Means,
): Promise<boolean> {
  const target = probeTargetOf(address, issuer.ca)
  const probed = await probe(target, { path: address.pathname + address.search }, signal)
  const aheadMs = probed.answer === null ? null : aheadOf(probed.answer)
  if (aheadMs !== null)
    onClock({
      name: `the issuer ${issuer.issuer}`,
      aheadMs,
      // Its date is cut off to whole seconds.
      toleratedMs: issuer.clockToleranceMs + 1000,
      harm: `Tokens are refused as expired, or as not valid yet: clock_tolerance is ${issuer.clockToleranceMs / 1000} s.`,
    })
  return addPeerFindings(found, target, words, probed)
}

function fetchOptions({ ca }: IssuerConfig, { signal, withinMs }: Means) {
  return { deadline: signal, timeoutMs: withinMs, ca, now: Date.now }
}

async function orFault<T>(work: Promise<T>): Promise<T | FetchFailed> {
  return await work.catch((error: unknown) => {
    if (error instanceof FetchFailed) return error
    throw error
  })
}

/** With `jwks_uri` the metadata document is not needed; where there is one, it should say the same. */
async function compareMetadata(found: Findings, issuer: IssuerConfig, setting: string, means: Means): Promise<void> {
  const [address] = metadataAddresses(new URL(issuer.issuer))
  if (address === undefined || address.host !== new URL(issuer.jwksUri ?? '').host) return
  const fetched = await orFault(fetchJson(address, fetchOptions(issuer, means)))
  if (fetched instanceof FetchFailed || !isObject(fetched.document)) return
  const { issuer: named, jwks_uri: keysAt } = fetched.document
  if (typeof named === 'string' && named !== issuer.issuer)
    found.warning(
      'metadata',
      `The metadata document at ${address.href} names the issuer ${JSON.stringify(named)}, and the configuration ${JSON.stringify(issuer.issuer)}. Tokens are accepted only with the latter.`,
      `Look at the iss claim of a token, and write in ${setting}.issuer what it says.`,
    )
  else if (typeof keysAt === 'string' && keysAt !== issuer.jwksUri)
    found.warning(
      'metadata',
      `The metadata document of the issuer names another key set than ${setting}.jwks_uri: ${keysAt}.`,
      `Remove ${setting}.jwks_uri, and the address is taken from the document; or write this one.`,
    )
}

async function examineKeys(
  found: Findings,
  issuer: IssuerConfig,
  setting: string,
  fetched: FetchedJson | FetchFailed,
): Promise<void> {
  if (fetched instanceof FetchFailed) {
    found.error(
      'keys',
      `The signing keys of the issuer cannot be read: ${fetched.message}.`,
      `Ask the identity team whether it is up, and check ${setting}.jwks_uri.`,
    )
    return
  }
  const { algorithms } = issuer
  const set = await parseKeySet(fetched.document, algorithms)
  if (set === null) {
    found.error(
      'keys',
      'What the issuer answers where its keys should be is no key set (RFC 7517).',
      `Check ${setting}.jwks_uri.`,
    )
    return
  }
  const offered = offeredBy(fetched.document)
  if (set.keys.length === 0)
    found.error(
      'keys',
      `The issuer publishes no key for ${algorithms.join(', ')}${offered === '' ? '' : `; it has keys for ${offered}`}. Every token is refused.`,
      `Write in ${setting}.algorithms how the issuer signs, or have it sign with one of these.`,
    )
  else {
    const kinds = [...new Set(set.keys.map(({ alg }) => alg))].join(', ')
    const ids = new Set(set.keys.map(({ identity }) => (JSON.parse(identity) as unknown[]).slice(0, 2).join()))
    found.ok('keys', `${counted(ids.size, 'signing key')} (${kinds})`)
  }
  // A key of another algorithm is nothing to mend while others fit.
  for (const warning of set.warnings.filter(
    (each) => set.keys.length === 0 || !each.includes('not among the allowed ones'),
  ))
    found.warning('key', `The issuer: ${warning}.`, 'Tell the identity team, if tokens are signed with this key.')
}

/** What the keys of a set are for, as they say it themselves. */
function offeredBy(document: unknown): string {
  const keys = isObject(document) && Array.isArray(document['keys']) ? (document['keys'] as unknown[]) : []
  const kinds = keys
    .filter(isObject)
    .map(({ alg, kty }) => (typeof alg === 'string' ? alg : typeof kty === 'string' ? kty : ''))
  return [...new Set(kinds.filter((kind) => kind !== ''))].slice(0, 6).join(', ')
}
