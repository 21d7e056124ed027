// Outposts: the fleet of a company's own machines claims sessions from a queue, listed in pages or watched as a stream of
// server-sent events, the only stream in the API.

import { randomBytes } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { ANSWERED, ApiError, notFound } from '../http/answers.ts'
import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, isoTime, text, type Item } from '../state/item.ts'
import { collection } from '../state/collection.ts'
import { booleanOf, page, passes } from '../http/pages.ts'
import { mustFind, type State } from '../state/state.ts'

const CLAIM_MS = 5 * 60_000
const KEEPALIVE_MS = 15_000
/** The server ends a stream after some minutes; clients connect again. */
const STREAM_MS = 4 * 60_000

/** Handlers of outposts and of the queue their machines claim from. */
export function outpostHandlers(state: State): Handlers {
  const changes = new EventEmitter().setMaxListeners(0)
  const queue = state.shelf('outpost-devins', ENTERPRISE)
  const find = (call: Call): Item => {
    const id = call.parameter('session_id')
    return mustFind(queue, id.startsWith('devin-') ? id : `devin-${id}`, 'Session')
  }
  const store = (item: Item): Item => {
    queue.set(String(item['session_id']), item)
    changes.emit('change', item)
    return item
  }
  const outposts = collection(state, {
    operations: 'outposts',
    kind: 'outposts',
    parameter: 'outpost_id',
    verbs: ['list', 'create'],
  })
  return {
    ...outposts,
    'outposts.delete': (call) => {
      if (!state.shelf('outposts', ENTERPRISE).delete(call.parameter('outpost_id'))) throw notFound('Outpost')
      return null
    },
    'outposts.devins.list': (call) => {
      const wanted = (item: Item): boolean =>
        passes(call, 'outpost', [text(item, 'outpost_id')]) &&
        passes(call, 'phase', [text(claimNow(item, call.nowMs), 'phase')]) &&
        passes(call, 'acceptor_id', [text(item, 'acceptor_id')])
      if (booleanOf(call, 'watch') === true) return watch(call, changes, [...queue.values()].filter(wanted), wanted)
      const query = new URLSearchParams(call.query)
      const cursor = query.get('cursor')
      query.delete('cursor')
      if (cursor !== null) query.set('after', cursor)
      const { end_cursor, ...rest } = page(
        { ...call, query },
        [...queue.values()].filter(wanted).map((item) => devinItem(item, call.nowMs)),
      )
      return { ...rest, cursor: end_cursor ?? '' }
    },
    'outposts.devins.claim': (call) => {
      const item = claimNow(find(call), call.nowMs)
      const acceptor = text(call.body, 'acceptor_id')
      if (item['phase'] === 'claimed' && item['acceptor_id'] !== acceptor) {
        throw new ApiError(409, 'Claimed by another acceptor')
      }
      const claimed = store({
        ...item,
        phase: 'claimed',
        acceptor_id: acceptor,
        claim_deadline: isoTime(call.nowMs + CLAIM_MS),
        updated_at: call.seconds,
      })
      const secrets = {
        connect_token: randomBytes(16).toString('base64url'),
        gateway_url: 'wss://outposts.devin.ai/connect',
      }
      const shown = devinItem(claimed, call.nowMs)
      return { ...shown, status: { ...shown.status, ...secrets } }
    },
    'outposts.devins.release': (call) => {
      const item = claimNow(find(call), call.nowMs)
      if (item['phase'] !== 'claimed' || item['acceptor_id'] !== text(call.body, 'acceptor_id')) {
        throw new ApiError(409, 'Not held by this acceptor')
      }
      store({ ...item, phase: 'pending', acceptor_id: null, claim_deadline: null, updated_at: call.seconds })
      return null
    },
  }
}

/** A claim whose deadline has passed is none. */
function claimNow(item: Item, nowMs: number): Item {
  const expired = Date.parse(text(item, 'claim_deadline') ?? '') <= nowMs
  return expired ? { ...item, phase: 'pending', acceptor_id: null, claim_deadline: null } : item
}

function devinItem(stored: Item, nowMs: number): { metadata: Item; spec: Item; status: Item } {
  const { session_id, outpost_id, created_at, updated_at, phase, acceptor_id, claim_deadline } = claimNow(stored, nowMs)
  return {
    metadata: { session_id, outpost_id, created_at, updated_at },
    spec: { kind: 'new', platform: 'linux', remote_binary_sha: '0d5e5b7a' },
    status: { phase, acceptor_id, claim_deadline, session_status: 'new' },
  }
}

/** What there is, then every change, with comments in between so that the connection is seen to live. */
function watch(
  call: Call,
  changes: EventEmitter,
  present: readonly Item[],
  wanted: (item: Item) => boolean,
): typeof ANSWERED {
  const { response } = call
  const send = (item: Item): void => {
    const type = wanted(item) ? 'MODIFIED' : 'DELETED'
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, object: devinItem(item, call.nowMs) })}\n\n`)
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
  response.write(': keepalive\n\n')
  for (const item of present) send(item)
  const keepalive = setInterval(() => response.write(': keepalive\n\n'), KEEPALIVE_MS)
  const end = setTimeout(() => response.end(), STREAM_MS)
  changes.on('change', send)
  response.on('close', () => {
    clearInterval(keepalive)
    clearTimeout(end)
    changes.off('change', send)
  })
  return ANSWERED
}
