// What starts sessions by itself: schedules, whose times are ISO 8601 and whose list pages by offset, and automations.

import { randomBytes } from 'node:crypto'
import { ApiError, missing, wrong } from '../http/answers.ts'
import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, isoTime, objects, text, type Item } from '../state/item.ts'
import { collection, given } from '../state/collection.ts'
import { integerOf } from '../http/pages.ts'
import { mayActAs } from '../sessions/sessions.ts'
import { mustFind, type State } from '../state/state.ts'

/** Handlers of schedules and automations. */
export function scheduleHandlers(state: State): Handlers {
  return {
    ...collection(state, {
      operations: 'org.schedules',
      kind: 'schedules',
      parameter: 'schedule_id',
      verbs: ['create', 'get', 'update', 'delete'],
      make: (call) => scheduleOf(state, call),
      change: (call) => scheduleChange(state, call),
    }),
    'org.schedules.list': (call) => schedulePage(state, call),
    ...collection(state, {
      operations: 'org.automations',
      kind: 'automations',
      parameter: 'automation_id',
      verbs: ['list', 'create', 'get', 'update', 'delete'],
      make: automationOf,
      change: (call) => given(refuseCreator(call)),
      show: withWebhook,
    }),
    'org.automations.schemas.get': () => ({
      sources: { webhook: ['incoming'], schedule: ['cron'] },
      update_semantics: 'replace_groups',
    }),
  }
}

function scheduleOf(state: State, call: Call): Item {
  const { body, owner, caller } = call
  if (text(body, 'schedule_type') === 'one_time' && text(body, 'scheduled_at') === null) {
    throw missing('body', 'scheduled_at')
  }
  return {
    org_id: owner,
    enabled: true,
    agent: 'devin',
    schedule_type: 'recurring',
    frequency: null,
    scheduled_at: null,
    notify_on: 'failure',
    interval_count: 1,
    tags: [],
    playbook: null,
    consecutive_failures: 0,
    last_error_message: null,
    last_executed_at: null,
    last_error_at: null,
    created_by: caller.id,
    ...scheduleChange(state, call),
  }
}

/** Members as the answer names them: the playbook as an object, the user to run as in `created_by`. */
function scheduleChange(state: State, call: Call): Item {
  const {
    playbook_id: playbook,
    create_as_user_id: creator,
    run_as_user_id: runner,
    scheduled_at: at,
    ...rest
  } = given(call)
  const user = creator ?? runner
  if (typeof user === 'string') mayActAs(state, user, call.owner)
  const time = typeof at === 'string' ? Date.parse(at) : null
  if (Number.isNaN(time)) throw wrong(['body', 'scheduled_at'], 'Input should be a valid datetime', 'datetime_parsing')
  return {
    ...rest,
    last_edited_by: call.caller.id,
    ...(at === undefined ? {} : { scheduled_at: time === null ? null : isoTime(time) }),
    ...(playbook === undefined
      ? {}
      : { playbook: typeof playbook === 'string' ? playbookStub(state, call.owner, playbook) : null }),
    ...(typeof user === 'string' ? { created_by: user } : {}),
  }
}

function playbookStub(state: State, owner: string, id: string): Item {
  const shared = state.shelf('playbooks', ENTERPRISE).get(id)
  const { playbook_id, title } = shared ?? mustFind(state.shelf('playbooks', owner), id, 'Playbook')
  return { playbook_id, title }
}

/** The one list that pages by `limit` and `offset`, in the usual envelope. */
function schedulePage(state: State, call: Call): Item {
  const all = [...state.shelf('schedules', call.owner).values()]
  const offset = integerOf(call, 'offset', 0) ?? 0
  const items = all.slice(offset, offset + (integerOf(call, 'limit', 1, 200) ?? 100))
  return { items, end_cursor: null, has_next_page: offset + items.length < all.length, total: all.length }
}

function automationOf(call: Call): Item {
  const initial = { enabled: true, limits: null, concurrency: null, notifications: null, metadata: null }
  return { org_id: call.owner, ...initial, ...given(refuseCreator(call)), created_by: call.caller.id }
}

function refuseCreator(call: Call): Call {
  if (text(call.body, 'run_as') !== 'creator') return call
  throw new ApiError(403, 'run_as=creator needs a person with UsePersonalAutomations')
}

/** The answer to a write that brings in a webhook trigger carries its inbox address and a secret, this once. */
function withWebhook(call: Call, item: Item): Item {
  const incoming = objects(call.body, 'triggers').some((trigger) => Object.values(trigger).includes('webhook:incoming'))
  if (!incoming) return item
  const url = `https://hooks.devin.ai/${randomBytes(8).toString('hex')}`
  return { ...item, webhook: { url, secret: randomBytes(16).toString('hex') } }
}
