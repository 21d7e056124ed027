// Consumption by day and usage metrics, counted from what the world brought along and from the sessions themselves.

import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, type Item } from '../state/item.ts'
import { integerOf, page, passes, windowOf, type Window } from '../http/pages.ts'
import { phaseAt } from '../sessions/session-life.ts'
import { sessionSize, type Session } from '../sessions/session-record.ts'
import { consumptionDay, DAY, mustFind, type State } from '../state/state.ts'

/** One day's cost of one principal. */
interface Cost {
  readonly day: number
  readonly organization: string
  readonly user: string | null
  readonly serviceUser: string | null
  readonly session: string | null
  readonly acus: number
}

type Wanted = (cost: Cost) => boolean

/** Handlers of consumption and metrics at both scopes. */
export function figureHandlers(state: State): Handlers {
  const daily =
    (wanted: (call: Call) => Wanted) =>
    (call: Call): Item =>
      consumption(call, costs(state, call).filter(wanted(call)))
  const byUser = daily((call) => {
    const { id } = mustFind(state.directory.users, call.parameter('user_id'), 'User')
    return (cost) => cost.user === id
  })
  const byServiceUser = daily((call) => {
    const { id } = mustFind(state.directory.serviceUsers, call.parameter('service_user_id'), 'Service user')
    return (cost) => cost.serviceUser === id
  })
  const bySession = daily((call) => {
    const bare = call.parameter('session_id')
    const { id } = mustFind(state.sessions, bare.startsWith('devin-') ? bare : `devin-${bare}`, 'Session')
    return (cost) => cost.session === id
  })
  const whole = daily(() => () => true)
  const at = (scope: string): Handlers => ({
    [`${scope}.consumption.daily.get`]: whole,
    [`${scope}.consumption.daily.users.get`]: byUser,
    [`${scope}.consumption.daily.sessions.get`]: bySession,
    [`${scope}.consumption.daily.service-users.get`]: byServiceUser,
    ...metrics(state, scope),
  })
  return {
    ...at('ent'),
    ...at('org'),
    'ent.consumption.daily.organizations.get': whole,
    'ent.organizations.metrics.usage.get': metrics(state, 'ent')['ent.metrics.usage.get'] ?? whole,
    'ent.metrics.sessions-by-category.get': (call) => ({
      categories: { feature: sessionsIn(state, call, windowOf(call, { required: true })).length },
    }),
    'ent.consumption.cycles.list': (call) => page(call, cycles(call.seconds)),
  }
}

/** Days before the start from the world, and every session on the day it was created. */
function costs(state: State, call: Call): Cost[] {
  const before = state.consumption.map((row) => ({ ...row, session: null }))
  const since = [...state.sessions.values()].map((session) => ({
    day: consumptionDay(Math.floor(session.createdMs / 1000)),
    organization: session.org,
    user: session.userId,
    serviceUser: session.serviceUserId,
    session: session.id,
    acus: phaseAt(session.life, call.nowMs).acus,
  }))
  return [...before, ...since].filter((cost) => call.owner === ENTERPRISE || cost.organization === call.owner)
}

function consumption(call: Call, all: readonly Cost[]): Item {
  const { after, before } = windowOf(call)
  const byDay = new Map<number, number>()
  for (const { day, acus } of all) {
    if (day >= after && day <= before) byDay.set(day, (byDay.get(day) ?? 0) + acus)
  }
  const days = [...byDay]
    .sort(([a], [b]) => a - b)
    .map(([date, acus]) => [date, Math.round(acus * 1000) / 1000] as const)
  return {
    total_acus: Math.round(days.reduce((sum, [, acus]) => sum + acus, 0) * 1000) / 1000,
    consumption_by_date: days.map(([date, acus]) => ({
      date,
      acus,
      acus_by_product: { devin: acus, cascade: 0, terminal: 0, review: 0 },
    })),
  }
}

/** Billing cycles of thirty days, the present one first. */
function cycles(now: number): { after: number; before: number }[] {
  const length = 30 * DAY
  const present = Math.floor(now / length) * length
  return Array.from({ length: 12 }, (_, index) => ({
    after: present - index * length,
    before: present - (index - 1) * length,
  }))
}

function sessionsIn(state: State, call: Call, { after, before }: Window): Session[] {
  return [...state.sessions.values()].filter((session) => {
    const created = session.createdMs / 1000
    const own = call.owner === ENTERPRISE ? passes(call, 'org_ids', [session.org]) : session.org === call.owner
    const asked =
      passes(call, 'user_ids', [session.userId]) && passes(call, 'service_user_ids', [session.serviceUserId])
    return own && asked && passes(call, 'playbook_id', [session.playbookId]) && created >= after && created <= before
  })
}

/** Both bounds are required, except for usage. Days, weeks and months come as bare arrays. */
function metrics(state: State, scope: string): Handlers {
  const required = (call: Call): Window => windowOf(call, { required: true })
  const counted = (call: Call): Session[] => sessionsIn(state, call, required(call))
  const active = (call: Call, from: number, to: number): Item => {
    const perPerson = Map.groupBy(
      sessionsIn(state, call, { after: from, before: to }),
      (session) => session.userId ?? session.serviceUserId,
    )
    const least = integerOf(call, 'min_sessions', 0) ?? 1
    return {
      start_time: from,
      end_time: to,
      active_users: [...perPerson.values()].filter((list) => list.length >= least).length,
    }
  }
  const series =
    (days: number) =>
    (call: Call): Item[] => {
      const { after, before } = required(call)
      const first = Math.floor(after / DAY) * DAY
      const count = Math.min(400, Math.ceil((before - first) / (days * DAY)))
      return Array.from({ length: count }, (_, index) =>
        active(call, first + index * days * DAY, first + (index + 1) * days * DAY),
      )
    }
  return {
    [`${scope}.metrics.active-users.get`]: (call) => active(call, required(call).after, required(call).before),
    [`${scope}.metrics.dau.get`]: series(1),
    [`${scope}.metrics.wau.get`]: series(7),
    [`${scope}.metrics.mau.get`]: series(30),
    [`${scope}.metrics.prs.get`]: (call) => pullRequests(counted(call)),
    [`${scope}.metrics.sessions.get`]: (call) => sessionFigures(counted(call), call.nowMs),
    [`${scope}.metrics.searches.get`]: (call) => ({ searches_created_count: 3 * counted(call).length }),
    [`${scope}.metrics.usage.get`]: (call) => {
      const sessions = sessionsIn(state, call, windowOf(call))
      const { prs_created_count, prs_merged_count } = pullRequests(sessions)
      return {
        sessions_count: sessions.length,
        searches_count: 3 * sessions.length,
        prs_created_count,
        prs_merged_count,
      }
    },
  }
}

function pullRequests(sessions: readonly Session[]): {
  [Name in 'prs_created_count' | 'prs_opened_count' | 'prs_closed_count' | 'prs_merged_count']: number
} {
  const states = sessions.flatMap((session) => session.pullRequests.map((request) => request['pr_state']))
  const count = (state: string): number => states.filter((other) => other === state).length
  return {
    prs_created_count: states.length,
    prs_opened_count: count('open'),
    prs_closed_count: count('closed'),
    prs_merged_count: count('merged'),
  }
}

function sessionFigures(sessions: readonly Session[], nowMs: number): Item {
  const counts = (of: (session: Session) => string): Item =>
    Object.fromEntries([...Map.groupBy(sessions, of)].map(([name, list]) => [name, list.length]))
  const acus = sessions.reduce((sum, session) => sum + phaseAt(session.life, nowMs).acus, 0)
  return {
    sessions_created_count: sessions.length,
    avg_acus_per_session: sessions.length === 0 ? 0 : Math.round((acus / sessions.length) * 1000) / 1000,
    sessions_created_by_origin: counts((session) => session.origin),
    sessions_created_by_size: counts((session) => sessionSize(session, nowMs)),
  }
}
