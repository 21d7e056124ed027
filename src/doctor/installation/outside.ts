// A gateway as others reach it, by an address alone: its name and all addresses of it, its certificate, its health, its version.

import { isLoopbackHost } from '../../config/values/addresses.ts'
import type { Examination } from '../examination.ts'
import type { Findings } from '../finding.ts'
import { aheadOf, type ClockReading } from '../network/clocks.ts'
import { addPeerFindings } from '../network/peer.ts'
import { probe, probeTargetOf, type Probe, type ProbeTarget } from '../network/probe.ts'
import { addGatewayFindings, readinessOf, type GatewayFacts, type Page, type PageReader } from './pages.ts'

export interface OutsideParts {
  readonly urls: readonly URL[]
  /** PEM text of the authorities to trust, null for the system's. */
  readonly ca: string | null
  /** A token of operators, for their listener; null: none is sent. */
  readonly token: string | null
  readonly onClock: (reading: ClockReading) => void
  /** Of the configuration here: it shares nothing with other instances; null where there is none. */
  readonly isAlone: boolean | null
}

/** One for each address, and one that compares what they have said. */
export function outsideExaminations(parts: OutsideParts): readonly Examination[] {
  const { urls } = parts
  if (urls.length === 0) return []
  const seen: Seen[] = []
  const each = urls.map((url) => {
    const { promise: done, resolve: end } = Promise.withResolvers<void>()
    const examination: Examination = {
      area: 'outside',
      about: url.origin,
      examine: (found, signal) => examineUrl(found, url, parts, seen, signal).finally(end),
    }
    return { examination, done }
  })
  return [
    ...each.map(({ examination }) => examination),
    {
      area: 'outside',
      about: null,
      // Longer than those that it waits for.
      moreMs: 1_000,
      async examine(found) {
        await Promise.all(each.map(({ done }) => done))
        compare(found, seen, parts.isAlone)
      },
    },
  ]
}

/** An instance that has answered. Facts are null for a callers' listener, which tells none. */
interface Seen {
  readonly place: string
  readonly facts: GatewayFacts | null
}

const mostAddresses = 8

async function examineUrl(
  found: Findings,
  url: URL,
  parts: OutsideParts,
  seen: Seen[],
  signal: AbortSignal,
): Promise<void> {
  const target = probeTargetOf(url, parts.ca)
  const isLoopback = isLoopbackHost(target.host)
  const first = await probe(target, { path: '/readyz' }, signal)
  const aheadMs = first.answer === null ? null : aheadOf(first.answer)
  if (aheadMs !== null)
    parts.onClock({
      name: `the gateway at ${url.host}`,
      aheadMs,
      toleratedMs: 30_000,
      harm: 'Tokens, ends of rights and records depend on its clock.',
    })
  const words = { name: 'The gateway', setting: '--url', caSetting: '--ca' }
  if (!addPeerFindings(found, target, words, first)) return
  const location = first.answer?.headers['location']
  if (first.answer !== null && first.answer.status >= 300 && first.answer.status < 400) {
    found.error(
      'answers',
      `What answers at ${url.host} leads elsewhere (${first.answer.status} to ${String(location ?? 'an unknown address')}).`,
      'Name the address of the gateway itself with --url. Clients do not follow a redirect with their token.',
    )
    return
  }
  if (target.tls === null && !isLoopback)
    found.warning(
      'plain',
      `${url.origin} has no TLS: tokens cross the network as they are.`,
      'Set listen.tls, or have a balancer end TLS.',
    )
  const addresses = first.addresses.slice(0, mostAddresses)
  for (const address of addresses) {
    if (first.silent.some((each) => each.address === address)) continue
    const place = addresses.length > 1 ? `${url.host} (${address})` : url.host
    const one = addresses.length > 1 ? { ...target, address } : target
    seen.push(...(await examineInstance(found, one, place, parts, first, signal)))
  }
}

async function examineInstance(
  found: Findings,
  target: ProbeTarget,
  place: string,
  { token }: OutsideParts,
  first: Probe,
  signal: AbortSignal,
): Promise<readonly Seen[]> {
  // A token goes nowhere in the clear.
  const mayLogIn = token !== null && (target.tls !== null || isLoopbackHost(target.host))
  const get = async (path: string, sent: { readonly token?: string } = {}): Promise<Page | null> => {
    const { answer, distrust } = await probe(target, { path, ...sent }, signal)
    return distrust === null ? answer : null
  }
  const health = target.address === undefined ? first.answer : await get('/readyz')
  const readiness = readinessOf(health)
  if (readiness !== null) {
    const open = await get('/api/status')
    if (open?.status === 200 && !isLoopbackHost(target.host))
      found.error(
        'open',
        `Whoever reaches ${place} operates the gateway: it asks for no login.`,
        'Set admin.auth, or move listen.admin to loopback and set listen.health for probes.',
      )
    const read: PageReader = async (path) => {
      const page = await get(path, mayLogIn ? { token } : {})
      if (page?.status === 401 || page?.status === 403)
        throw new Error(
          mayLogIn ? `it does not accept the token (${page.status})` : 'it needs a login (--operator-token)',
        )
      return page
    }
    const facts = await addGatewayFindings(found, readiness, read, signal)
    if (facts.versions.length > 0) found.ok('version', `${place} runs version ${facts.versions.join(' and ')}`)
    return [{ place, facts }]
  }
  return (await isCallersListener(found, place, get)) ? [{ place, facts: null }] : []
}

async function isCallersListener(
  found: Findings,
  place: string,
  get: (path: string) => Promise<Page | null>,
): Promise<boolean> {
  const page = await get('/gateway/v1/problems/token-missing')
  if (page?.status !== 200 || !page.body.includes('token-missing')) {
    const said = page === null ? 'no answer' : `${page.status} to its own page`
    found.error(
      'answers',
      `What answers at ${place} is not this gateway (${said}).`,
      page !== null && page.status >= 500
        ? 'A balancer in between has no instance to send it to: look at its health checks.'
        : 'Name the address of one of its listeners, without a path.',
    )
    return false
  }
  const refused = await get('/v3/self')
  if (refused?.status === 401 && refused.body.includes('token-missing'))
    found.ok('answers', `Callers are answered at ${place}, and a call without a token is refused`)
  else if (refused?.status === 503)
    found.error(
      'answers',
      `${place} turns calls away (503).`,
      'Look at /readyz of its operators: name it with --url as well.',
    )
  else
    found.error(
      'answers',
      `${place} does not refuse a call without a token as the gateway does (${refused?.status ?? 'no answer'}).`,
      'Find out what stands in between and answers itself, or adds a token.',
    )
  return true
}

/** Two listeners of one instance have one start, of which that of health tells whole seconds alone. */
function countInstances(facts: readonly GatewayFacts[]): number {
  const exact = facts.filter(({ startedAt }) => startedAt !== null)
  const known = new Set(exact.map(({ started }) => started.join()))
  const others = facts.filter(({ startedAt, started }) => startedAt === null && !known.has(started.join()))
  const count = (texts: readonly string[]): number => new Set(texts).size
  return count(exact.map(({ startedAt }) => startedAt ?? '')) + count(others.map(({ started }) => started.join()))
}

/** What several instances should have in common. */
function compare(found: Findings, seen: readonly Seen[], isAloneHere: boolean | null): void {
  const facts = seen.flatMap((each) => (each.facts === null ? [] : [each.facts]))
  const instances = countInstances(facts)
  const differ = (texts: readonly string[]): readonly string[] => [...new Set(texts)]
  const versions = differ(facts.flatMap((each) => each.versions))
  const revisions = differ(facts.flatMap((each) => each.revisions))
  if (versions.length > 1)
    found.warning(
      'versions',
      `The instances run different versions: ${versions.join(', ')}.`,
      'Finish the update, or undo it.',
    )
  if (revisions.length > 1)
    found.warning(
      'revisions',
      `The instances have different policies in force: revisions ${revisions.join(', ')}.`,
      'Find out which instance did not get the files, or refused them: its log says why.',
    )
  const alone =
    'each counts limits and budgets for itself, and serves answers that a write through another has made stale'
  const share = 'Set store to one Valkey or Redis for all (docs/deployment.md).'
  if (instances > 1 && facts.some(({ isAlone }) => isAlone === true))
    found.error('shared', `${instances} instances answer and share no store: ${alone}.`, share)
  else if (seen.length > 1 && (isAloneHere ?? false) && facts.length < seen.length)
    found.warning(
      'shared',
      `${seen.length} addresses answer, and the configuration has no store. If they are several instances, ${alone}.`,
      share,
    )
}
