// Sessions and their bills, read from the Devin API for settlement. An undocumented shape counts as no answer.

import { sessionName } from '../../budgets/budgets.ts'
import type { SeenSession, SessionReader } from '../../budgets/settlement.ts'
import { memberOf } from '../../json/untyped.ts'
import type { OwnAnswer, OwnCalls } from './own-calls.ts'

const pageSize = 100
/** More sessions than this in the window cannot be matched to creates. */
const maxPages = 10

/** Organization keys are asked first; where none may, an enterprise key. */
export function createSessionReader(calls: OwnCalls): SessionReader {
  /** A list at organization scope, or the same narrowed to the organization at enterprise scope. */
  async function listed(organization: string, query: readonly (readonly [string, string])[]): Promise<OwnAnswer> {
    return (
      (await calls.read('org.sessions.list', { org_id: organization }, query)) ??
      (await calls.read('ent.sessions.list', {}, [['org_ids', organization], ...query]))
    )
  }

  return {
    async list(organization, sessions) {
      const query = [['first', String(pageSize)], ...sessions.map((id) => ['session_ids', id])] as [string, string][]
      return pageOf(await listed(organization, query))?.sessions ?? null
    },
    async get(organization, session) {
      const parameters = { org_id: organization, devin_id: session }
      const answer =
        (await calls.read('org.sessions.get', parameters)) ??
        (await calls.read('ent.sessions.get', parameters, [['org_id', organization]]))
      if (answer === 'absent') return 'gone'
      return answer === null ? null : sessionOf(answer.value)
    },
    async createdSince(organization, sinceMs) {
      const found: SeenSession[] = []
      const query: [string, string][] = [
        ['first', String(pageSize)],
        ['created_after', String(Math.floor(sinceMs / 1000))],
        ['origins', 'api'],
      ]
      let cursor: string | null = null
      for (let pages = 0; pages < maxPages; pages++) {
        const page = pageOf(await listed(organization, cursor === null ? query : [...query, ['after', cursor]]))
        if (page === null) return null
        found.push(...page.sessions)
        if (!page.more) return found
        if (page.cursor === null) return null
        ;({ cursor } = page)
      }
      return null
    },
    async billed(organization, session, fromMs, toMs) {
      const parameters = { org_id: organization, session_id: session }
      const query = [
        ['time_after', String(Math.floor(fromMs / 1000))],
        ['time_before', String(Math.floor(toMs / 1000))],
      ] as const
      const answer =
        (await calls.read('org.consumption.daily.sessions.get', parameters, query)) ??
        (await calls.read('ent.consumption.daily.sessions.get', parameters, query))
      if (answer === null || answer === 'absent') return null
      const total = memberOf(answer.value, 'total_acus')
      return typeof total === 'number' ? total : null
    },
  }
}

interface Page {
  readonly sessions: readonly SeenSession[]
  readonly cursor: string | null
  readonly more: boolean
}

function pageOf(answer: OwnAnswer): Page | null {
  if (answer === null || answer === 'absent') return null
  const items = memberOf(answer.value, 'items')
  if (!Array.isArray(items)) return null
  const cursor = memberOf(answer.value, 'end_cursor')
  return {
    sessions: items.map(sessionOf).filter((session) => session !== null),
    cursor: typeof cursor === 'string' ? cursor : null,
    more: memberOf(answer.value, 'has_next_page') === true,
  }
}

function sessionOf(value: unknown): SeenSession | null {
  const [id, status, acus, created] = ['session_id', 'status', 'acus_consumed', 'created_at'].map((name) =>
    memberOf(value, name),
  )
  if (typeof id !== 'string' || typeof status !== 'string' || typeof acus !== 'number' || typeof created !== 'number')
    return null
  return {
    id: sessionName(id),
    status,
    archived: memberOf(value, 'is_archived') === true,
    acus,
    createdAtMs: created * 1000,
  }
}
