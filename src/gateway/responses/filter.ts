// Forwards requests whose answer a guardrail filters: narrows the query, and passes the answer through src/filtering/.

import type { ResponseSink } from '../../cache/response-stream.ts'
import { withoutFields } from '../../http/field-list.ts'
import type { Paging } from '../../catalogue/operation.ts'
import { Bodiless } from '../../filtering/bodiless.ts'
import { cursorBinding, openCursor, sealCursor, type PagePosition } from '../../filtering/paging/cursor.ts'
import type { ListRequest } from '../../filtering/paging/list-request.ts'
import { filterList } from '../../filtering/list.ts'
import { FilteredObject } from '../../filtering/object.ts'
import { askedPage, listOf, narrowed, pageQuery, unknownCursor } from '../../filtering/paging/page-query.ts'
import type { Secret } from '../../keys/secret.ts'
import { Problem } from '../../problems.ts'
import type { UpstreamRequest } from '../upstream/upstream-request.ts'
import { sharedCoding } from '../../http/accept-encoding.ts'
import { InPieces } from '../long-pieces.ts'
import type { StreamTurns } from '../stream-turns.ts'
import { PlainAnswer } from './plain-answer.ts'
import { proxyStatus } from '../upstream/errors.ts'
import type { ResponseFilter } from '../../policy/model/decision.ts'

export type Send = (forward: UpstreamRequest, sink: ResponseSink) => void

/** Feeds the sink the filtered answer. Throws `malformed-request` for a page that cannot be read, and what `send` throws. */
export function forwardFiltered(
  send: Send,
  forward: UpstreamRequest,
  filter: ResponseFilter,
  sink: ResponseSink,
  { now, monotonic, turns }: FilterSettings,
): void {
  const { operation, target } = forward
  const shape = operation.answer
  // Policies with a rule for an operation without one do not compile.
  if (shape === null) throw new Error(`the answer of ${operation.id} has no shape`)
  const isHead = forward.method === 'HEAD'
  const isRead = isHead || forward.method === 'GET'
  const receiver = isHead ? new Bodiless(sink) : sink
  const asking: UpstreamRequest = {
    ...forward,
    // Only the body names the organization.
    method: isHead ? 'GET' : forward.method,
    fields: {
      ...forward.fields,
      forward: unconditional(forward.fields.forward),
      acceptEncoding: isRead ? sharedCoding : undefined,
    },
    shared: forward.shared === null ? null : unconditional(forward.shared),
  }
  const ask = (query: string, answer: ResponseSink): void =>
    send(
      { ...asking, target: { ...target, query } },
      new PlainAnswer(new InPieces(answer, turns, forward.precedence.team), refusal),
    )

  const organizations = filter.organizations === 'all' ? ('all' as const) : new Set(filter.organizations)
  const selection = { organizations, drop: filter.drop }
  if (shape.form === 'object') ask(target.query, new FilteredObject({ shape, selection, outside, refusal }, receiver))
  else if (organizations === 'all' || shape.paging === null) {
    const fetch = (_page: unknown, answer: ResponseSink): void => ask(target.query, answer)
    filterList({ shape, selection, page: null, fetch, refusal, monotonic }, receiver)
  } else {
    const { page, queryOf } = pageOf(forward, shape.paging, organizations, filter.digest, now())
    const fetch: ListRequest['fetch'] = (at, answer) => ask(queryOf(at ?? page.start), answer)
    filterList({ shape, selection, page, fetch, refusal, monotonic }, receiver)
  }
}

function cursorKey(value: Secret): Buffer {
  return value.derive('devin-gateway: cursors of filtered lists')
}

/** The page that a request asks for, behind a cursor of ours. */
function pageOf(
  { operation, target, version }: UpstreamRequest,
  paging: Paging,
  organizations: ReadonlySet<string>,
  digest: string,
  nowMs: number,
) {
  const { size, cursor, rest } = askedPage(target.query, paging)
  const mayNarrow = operation.organizations.query.includes('org_ids')
  const { pairs, isNarrowed } = mayNarrow ? narrowed(rest, organizations) : { pairs: rest, isNarrowed: false }
  // Cursors are sealed with the key's value, which every instance has. Those of the value before are opened as well.
  const { seal, open } = version.sealing ?? { seal: version.secret, open: [version.secret] }
  const key = cursorKey(seal ?? version.secret)
  const binding = cursorBinding(operation.id, target.path, listOf(rest), digest)
  // One item more than asked for shows whether another page follows.
  const beginning: PagePosition = {
    after: null,
    size: isNarrowed ? size : Math.min(size + 1, paging.most),
    skip: 0,
    last: null,
  }
  const openedWith = (values: readonly Secret[]): PagePosition | null => {
    for (const value of values) {
      const found = openCursor(cursorKey(value), binding, cursor ?? '', nowMs)
      if (found !== null) return found
    }
    return null
  }
  const start = cursor === null ? beginning : openedWith(open)
  if (start === null) throw unknownCursor(paging)
  return {
    page: { size, start, isNarrowed, seal: (position: PagePosition) => sealCursor(key, binding, position, nowMs) },
    /** The query for a page of the upstream's. */
    queryOf: (at: Pick<PagePosition, 'after' | 'size'>): string => pageQuery(pairs, paging, at),
  }
}

/** Conditions of a caller or of the cache are about the filtered answer, which the upstream does not know. */
const conditions: ReadonlySet<string> = new Set([
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-unmodified-since',
])

function unconditional(fields: readonly string[]): string[] {
  return withoutFields(fields, (name) => conditions.has(name))
}

/** The same text whether it does not exist or is another team's, so that ids cannot be probed. */
function outside(): Problem {
  return new Problem(
    'organization-not-granted',
    "What this id names does not exist, or is in none of your team's organizations. Check the id, or use the organization's own operation, which tells the two apart.",
  )
}

function refusal(why: string): Problem {
  return new Problem(
    'upstream-answer-refused',
    `The answer of the Devin API was not passed on: a guardrail filters it, and ${why}. Tell the operator of the gateway the decision id.`,
    { reason: 'answer-shape-unknown', fields: { 'proxy-status': proxyStatus('http_protocol_error') } },
  )
}
export interface FilterSettings {
  readonly now: () => number
  /** Monotonic clock, milliseconds. */
  readonly monotonic: () => number
  readonly turns: StreamTurns
}
