// Code scans and reviews of pull requests at both scopes, and the retired search lists.

import { ApiError, missing, notFound, wrong } from '../http/answers.ts'
import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, isItem, isoTime, text, type Item, newId } from '../state/item.ts'
import { page, passes, windowOf } from '../http/pages.ts'
import { createSession } from '../sessions/sessions.ts'
import { mustFind, type State } from '../state/state.ts'
import type { Kind } from '../state/kinds.ts'

/** Scans that may be under way in one organization. */
const BACKLOG = 20
const SCAN_SECONDS = 120

/** Handlers of code scans, reviews and the retired search lists. */
export function scanHandlers(state: State): Handlers {
  const both = (tail: string, handler: Handlers[string]): Handlers => ({
    [`org.code-scans.${tail}`]: handler,
    [`ent.code-scans.${tail}`]: handler,
  })
  const find = (call: Call): Item => mustFind(state.shelf('code-scans', call.owner), call.parameter('scan_id'), 'Scan')
  const listed = (call: Call, kind: Kind, names: readonly string[]): Item[] =>
    state
      .everywhere(kind)
      .filter(({ owner }) => (call.owner === ENTERPRISE ? passes(call, 'org_ids', [owner]) : owner === call.owner))
      .map(({ item }) => (kind === 'code-scans' ? scanNow(item, call.seconds) : item))
      .filter((item) => names.every((name) => passes(call, name, [text(item, name)])))
  return {
    ...both('start', (call) => startScan(state, call)),
    ...both('start-ingestion', (call) => startScan(state, call)),
    ...both('list', (call) => {
      const { after, before } = windowOf(call)
      return page(
        call,
        listed(call, 'code-scans', ['repo_name']).filter(
          (item) => Number(item['created_at']) >= after && Number(item['created_at']) <= before,
        ),
      )
    }),
    ...both('findings.list', (call) =>
      page(call, listed(call, 'findings', ['scan_id', 'repo_name', 'severity', 'status'])),
    ),
    ...both('profiles.list', (call) => page(call, [...state.shelf('scan-profiles', call.owner).values()])),
    ...both('profiles.get', (call) =>
      mustFind(state.shelf('scan-profiles', call.owner), call.parameter('profile_id'), 'Profile'),
    ),
    ...both('metrics.get', (call) => {
      windowOf(call, { required: true, maxDays: 100 })
      const findings = listed(call, 'findings', [])
      return {
        scans_count: listed(call, 'code-scans', []).length,
        findings_count: findings.length,
        open_findings_count: findings.filter((item) => item['status'] === 'open').length,
      }
    }),
    ...both('findings.remediate', (call) => {
      const scan = find(call)
      const finding = mustFind(state.shelf('findings', call.owner), call.parameter('finding_id'), 'Finding')
      if (finding['session_id'] !== undefined) throw new ApiError(409, 'A fix is already under way')
      const session = createSession(
        state,
        { ...call, body: { prompt: `Fix: ${text(finding, 'title') ?? 'finding'}`, repos: [scan['repo_name']] } },
        'code_scan',
      )
      const item = { ...finding, session_id: session.id }
      state.shelf('findings', call.owner).set(call.parameter('finding_id'), item)
      return item
    }),
    ...both('auto-scan.set', (call) => change(state, call, { ...find(call), auto_scan: true })),
    ...both('profile.set', (call) => change(state, call, { ...find(call), profile: profileOf(state, call) })),
    ...reviews(state, 'org'),
    ...reviews(state, 'ent'),
    'beta.ent.searches.list': (call) => page(call, []),
    'beta.org.searches.list': (call) => page(call, []),
  }
}

function startScan(state: State, call: Call): Item {
  const shelf = state.shelf('code-scans', call.owner)
  const busy = [...shelf.values()].filter((item) => scanNow(item, call.seconds)['status'] === 'running').length
  if (busy >= BACKLOG) throw new ApiError(409, 'The scan backlog of the organization is full')
  const id = newId('scan')
  const item = {
    scan_id: id,
    org_id: call.owner,
    repo_name: call.body['repo_name'],
    host: text(call.body, 'host'),
    scan_type: text(call.body, 'scan_type') ?? 'security',
    status: 'running',
    profile: profileOf(state, call),
    commit_sha: text(call.body, 'commit_sha'),
    created_at: call.seconds,
  }
  shelf.set(id, item)
  return item
}

function profileOf(state: State, call: Call): Item | null {
  const id = text(call.body, 'profile_id')
  if (id === null) return null
  return (
    state.shelf('scan-profiles', call.owner).get(id) ??
    mustFind(state.shelf('scan-profiles', ENTERPRISE), id, 'Profile')
  )
}

function change(state: State, call: Call, item: Item): Item {
  state.shelf('code-scans', call.owner).set(call.parameter('scan_id'), item)
  return item
}

/** A scan runs for two minutes. */
function scanNow(item: Item, now: number): Item {
  const done = item['status'] === 'running' && now - Number(item['created_at']) >= SCAN_SECONDS
  return done ? { ...item, status: 'completed' } : item
}

/** One review per pull request and place: pending for half a minute, during which a second one is a conflict. */
function reviews(state: State, scope: string): Handlers {
  const now = (item: Item, nowMs: number): Item => ({
    ...item,
    status: nowMs - Date.parse(String(item['created_at'])) >= 30_000 ? 'completed' : 'pending',
  })
  return {
    [`${scope}.pr-reviews.create`]: (call) => {
      const url = text(call.body, 'pr_url') ?? ''
      const [, repo, number] = /^https:\/\/[^/]+\/(.+)\/(?:pull|pulls|merge_requests)\/(\d+)$/.exec(url) ?? []
      if (repo === undefined)
        throw wrong(['body', 'pr_url'], 'Input should be the URL of a pull request', 'value_error')
      const shelf = state.shelf('pr-reviews', call.owner)
      const before = shelf.get(url)
      if (before !== undefined && now(before, call.nowMs)['status'] === 'pending') {
        throw new ApiError(409, 'A review is pending')
      }
      const item = {
        pr_number: Number(number),
        repo_path: repo,
        commit_sha: '9c1f0e2d',
        status: 'pending',
        created_at: isoTime(call.nowMs),
      }
      shelf.set(url, item)
      return item
    },
    [`${scope}.pr-reviews.get`]: (call) => {
      const url = call.query.get('pr_url')
      if (url === null) throw missing('query', 'pr_url')
      const item = state.shelf('pr-reviews', call.owner).get(url)
      const commit = call.query.get('commit_sha')
      if (!isItem(item) || (commit !== null && item['commit_sha'] !== commit)) throw notFound('Review')
      return now(item, call.nowMs)
    },
  }
}
