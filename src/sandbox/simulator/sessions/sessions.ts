// Sessions at organization and enterprise scope: create, filter, message, archive, terminate, tags and insights.

import type { WorldSession } from '../../world/types.ts'
import { ApiError, notFound, wrong } from '../http/answers.ts'
import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, number, text, texts, type Item, newId } from '../state/item.ts'
import { booleanOf, integerOf, page, passes } from '../http/pages.ts'
import { phaseAt, SECOND_MS, stop, wake } from './session-life.ts'
import {
  attachmentItem,
  insightsItem,
  say,
  seededSession,
  sessionItem,
  updatedMs,
  visibleMessages,
  type Session,
} from './session-record.ts'
import { platforms } from '../company/placement.ts'
import { mustFind, type State } from '../state/state.ts'
import { idMembers } from '../state/kinds.ts'

const MAX_TAGS = 50

/** Fills the state with the world's sessions and gives the handlers of both scopes. */
export function sessionHandlers(state: State, seeds: readonly WorldSession[], nowMs: number): Handlers {
  for (const seed of seeds) state.sessions.set(seed.id, seededSession(seed, nowMs))
  const find = (call: Call): Session => findSession(state, call)
  const show = (call: Call, session: Session): Item => sessionItem(session, call.nowMs)
  const both = (tail: string, handler: Handlers[string]): Handlers => ({
    [`org.sessions.${tail}`]: handler,
    [`ent.sessions.${tail}`]: handler,
  })
  return {
    'org.sessions.create': (call) => show(call, createSession(state, call)),
    ...both('list', (call) =>
      page(
        call,
        filtered(state, call).map((session) => show(call, session)),
      ),
    ),
    ...both('get', (call) => show(call, find(call))),
    'org.sessions.terminate': (call) => {
      const session = changeable(find(call))
      session.life = stop(session.life, call.nowMs, { status: 'exit', detail: 'user_request' })
      session.archived ||= booleanOf(call, 'archive') ?? false
      return show(call, touched(session, call))
    },
    'org.sessions.archive': (call) => {
      const session = find(call)
      if (phaseAt(session.life, call.nowMs).status !== 'exit') {
        session.life = stop(session.life, call.nowMs, { status: 'suspended', detail: 'user_request' })
      }
      session.archived = true
      return show(call, touched(session, call))
    },
    ...both('messages.list', (call) => page(call, visibleMessages(find(call), call.nowMs))),
    ...both('messages.send', (call) => show(call, sendMessage(state, find(call), call))),
    ...both('attachments.list', (call) => find(call).attachmentUrls.map((url) => attachmentItem(url))),
    ...both('insights.list', (call) =>
      page(
        call,
        filtered(state, call).map((session) => insightsItem(session, call.nowMs)),
      ),
    ),
    ...both('insights.get', (call) => insightsItem(find(call), call.nowMs)),
    ...both('insights.generate', (call) => {
      const session = find(call)
      const status = session.analysedMs === null ? 'started' : 'already_exists'
      session.analysedMs ??= call.nowMs + 5 * SECOND_MS
      return { session_id: session.id, status }
    }),
    ...both('tags.get', (call) => ({ tags: find(call).tags })),
    ...both('tags.append', (call) => setTags(find(call), call, [...find(call).tags, ...texts(call.body, 'tags')])),
    ...both('tags.replace', (call) => setTags(find(call), call, texts(call.body, 'tags'))),
  }
}

/** A session by its bare id or with the prefix `devin-`; in an organization only its own are visible. */
function findSession(state: State, call: Call): Session {
  const session = mustFind(state.sessions, prefixed(call.parameter('devin_id')), 'Session')
  const wanted = call.owner === ENTERPRISE ? call.query.get('org_id') : call.owner
  if (wanted !== null && session.org !== wanted) throw notFound('Session')
  return session
}

function prefixed(id: string): string {
  return id.startsWith('devin-') ? id : `devin-${id}`
}

function filtered(state: State, call: Call): Session[] {
  const within = (name: string, ms: number): boolean =>
    ms >= (integerOf(call, `${name}_after`) ?? -Infinity) * 1000 &&
    ms <= (integerOf(call, `${name}_before`) ?? Infinity) * 1000
  const archived = booleanOf(call, 'is_archived')
  const ids = call.query.getAll('session_ids').map(prefixed)
  return [...state.sessions.values()]
    .filter(
      (session) =>
        (call.owner === ENTERPRISE ? passes(call, 'org_ids', [session.org]) : session.org === call.owner) &&
        (ids.length === 0 || ids.includes(session.id)) &&
        (archived === null || session.archived === archived) &&
        within('created', session.createdMs) &&
        within('updated', updatedMs(session, call.nowMs)) &&
        passes(call, 'tags', session.tags) &&
        passes(call, 'playbook_id', [session.playbookId]) &&
        passes(call, 'origins', [session.origin]) &&
        passes(call, 'user_ids', [session.userId]) &&
        passes(call, 'service_user_ids', [session.serviceUserId]) &&
        passes(call, 'repo_names', session.repos) &&
        passes(call, 'parent_session_id', [session.parentId]) &&
        // Sessions of the sandbox have no category and come from no schedule or automation.
        passes(call, 'automation_ids', []) &&
        passes(call, 'category', []) &&
        passes(call, 'schedule_id', []),
    )
    .sort((a, b) => b.createdMs - a.createdMs)
}

/** Creates a session from a checked body, also for code scans and schedules that start one. */
export function createSession(state: State, call: Call, origin = 'api'): Session {
  const { body, nowMs } = call
  const platform = text(body, 'platform')
  if (platform !== null && !platforms.includes(platform)) {
    throw new ApiError(400, `Unknown platform '${platform}'. Allowed: ${platforms.join(', ')}`)
  }
  const user = text(body, 'create_as_user_id')
  if (user !== null) mayActAs(state, user, call.owner)
  const playbookId = text(body, idMembers.playbooks)
  const id = newId('devin')
  const parent = call.query.get('devin_id')
  const session: Session = {
    id,
    org: call.owner,
    title: text(body, 'title'),
    createdMs: nowMs,
    origin,
    userId: user,
    serviceUserId: call.caller.id,
    playbookId,
    parentId: parent === null ? null : prefixed(parent),
    repos: texts(body, 'repos'),
    pullRequests: [],
    updatedMs: nowMs,
    tags: [...new Set(texts(body, 'tags'))],
    archived: false,
    life: {
      wokenMs: nowMs,
      start: 'new',
      acusBefore: 0,
      pace: text(body, 'devin_mode') === 'fast' ? 4 : 1,
      maxAcus: number(body, 'max_acu_limit'),
      stopped: null,
    },
    messages: [],
    attachmentUrls: texts(body, 'attachment_urls'),
    analysedMs: null,
  }
  say(session, text(body, 'prompt') ?? '', nowMs)
  state.sessions.set(id, session)
  return session
}

/** Throws 403 unless the user is a member of the organization with the right to use sessions. */
export function mayActAs(state: State, user: string, organization: string): void {
  if (!state.directory.userHolds(user, organization, 'UseDevinSessions')) {
    throw new ApiError(403, 'The user to act as is no member of the organization with UseDevinSessions')
  }
}

function sendMessage(state: State, session: Session, call: Call): Session {
  changeable(session)
  const user = text(call.body, 'message_as_user_id')
  if (user !== null) mayActAs(state, user, session.org)
  if (['exit', 'error'].includes(phaseAt(session.life, call.nowMs).status)) {
    throw new ApiError(409, 'The session has ended')
  }
  session.life = wake(session.life, call.nowMs)
  session.attachmentUrls.push(...texts(call.body, 'attachment_urls'))
  say(session, text(call.body, 'message') ?? '', call.nowMs)
  return touched(session, call)
}

function setTags(session: Session, call: Call, tags: readonly string[]): Item {
  const distinct = [...new Set(tags)]
  if (distinct.length > MAX_TAGS) {
    throw wrong(['body', 'tags'], `A session has at most ${MAX_TAGS} tags`, 'too_long')
  }
  touched(changeable(session), call).tags = distinct
  return { tags: distinct }
}

function changeable(session: Session): Session {
  if (session.archived) throw new ApiError(409, 'The session is archived')
  return session
}

function touched(session: Session, call: Call): Session {
  session.updatedMs = call.nowMs
  return session
}
