// A session as it is remembered, and as the API shows it: plain, with insights, its messages and attachments.

import type { WorldSession } from '../../world/types.ts'
import { newId, type Item } from '../state/item.ts'
import { unquote } from '../http/routing.ts'
import { doneMs, phaseAt, SECOND_MS, type Life } from './session-life.ts'

/** What was or will be said in a session. */
export interface Message {
  readonly id: string
  readonly source: 'user' | 'devin'
  readonly text: string
  /** May lie ahead: the answer stands here from the start and is shown when its time has come. */
  readonly atMs: number
}

/** A session as it is kept; what the API shows of it depends on the instant. */
export interface Session {
  readonly id: string
  readonly org: string
  readonly title: string | null
  readonly createdMs: number
  readonly origin: string
  readonly userId: string | null
  readonly serviceUserId: string | null
  readonly playbookId: string | null
  readonly parentId: string | null
  readonly repos: readonly string[]
  readonly pullRequests: readonly Item[]
  updatedMs: number
  tags: readonly string[]
  archived: boolean
  life: Life
  readonly messages: Message[]
  readonly attachmentUrls: string[]
  analysedMs: number | null
}

/** A session of the world, with its age counted back from now. */
export function seededSession(seed: WorldSession, nowMs: number): Session {
  const createdMs = nowMs - seed.minutesAgo * 60 * SECOND_MS
  const fresh: Life = { wokenMs: createdMs, start: 'new', acusBefore: seed.acus, pace: 1, maxAcus: null, stopped: null }
  const stops = { suspended: 'inactivity', exit: 'finished', error: 'error' } as const
  const life =
    seed.state === 'new' || seed.state === 'running'
      ? fresh
      : { ...fresh, stopped: { status: seed.state, detail: stops[seed.state] } }
  const session: Session = {
    id: seed.id,
    org: seed.organization,
    title: seed.title,
    createdMs,
    origin: seed.user === null ? 'api' : 'webapp',
    userId: seed.user,
    serviceUserId: seed.serviceUser,
    playbookId: null,
    parentId: null,
    repos: seed.repos,
    pullRequests: seed.pullRequests.map(({ url, state }) => ({ pr_url: url, pr_state: state })),
    updatedMs: createdMs,
    tags: seed.tags,
    archived: seed.archived,
    life,
    messages: [],
    attachmentUrls: [],
    analysedMs: null,
  }
  say(session, seed.title, createdMs)
  return session
}

/** The user's words now, and the answer for when the work is done; an answer not yet given is put off. */
export function say(session: Session, words: string, nowMs: number): void {
  const answered = session.messages.findIndex((message) => message.atMs > nowMs)
  if (answered !== -1) session.messages.splice(answered)
  const about = words.length > 80 ? `${words.slice(0, 80)}…` : words
  session.messages.push(
    { id: newId('event'), source: 'user', text: words, atMs: nowMs },
    { id: newId('event'), source: 'devin', text: `Done: ${about}`, atMs: doneMs(session.life) },
  )
}

/** What has been said so far, oldest first, as the API shows it. */
export function visibleMessages(session: Session, nowMs: number): Item[] {
  return session.messages
    .filter((message) => message.atMs <= nowMs)
    .map(({ id, source, text, atMs }) => ({ event_id: id, source, message: text, created_at: Math.floor(atMs / 1000) }))
}

/** When the session last changed; while it works, that is now. */
export function updatedMs(session: Session, nowMs: number): number {
  return session.life.stopped === null
    ? Math.max(session.updatedMs, Math.min(nowMs, doneMs(session.life)))
    : session.updatedMs
}

/** A session as the API shows it at an instant. */
export function sessionItem(session: Session, nowMs: number): Item {
  const { status, detail, acus } = phaseAt(session.life, nowMs)
  return {
    session_id: session.id,
    url: `https://app.devin.ai/sessions/${session.id.slice('devin-'.length)}`,
    org_id: session.org,
    status,
    status_detail: detail,
    title: session.title,
    tags: session.tags,
    created_at: Math.floor(session.createdMs / 1000),
    updated_at: Math.floor(updatedMs(session, nowMs) / 1000),
    acus_consumed: acus,
    pull_requests: session.pullRequests,
    user_id: session.userId,
    service_user_id: session.serviceUserId,
    playbook_id: session.playbookId,
    parent_session_id: session.parentId,
    child_session_ids: null,
    origin: session.origin,
    category: null,
    subcategory: null,
    is_archived: session.archived,
    structured_output: null,
  }
}

/** Size class of the insights, by cost. */
export function sessionSize(session: Session, nowMs: number): string {
  const { acus } = phaseAt(session.life, nowMs)
  return acus < 1 ? 'xs' : acus < 5 ? 's' : acus < 10 ? 'm' : acus < 20 ? 'l' : 'xl'
}

/** The same with figures and, some seconds after `generate`, the analysis. */
export function insightsItem(session: Session, nowMs: number): Item {
  const messages = visibleMessages(session, nowMs)
  const prompt = session.messages[0]?.text ?? ''
  const analysis = {
    action_items: [],
    issues: [],
    note_usage: [],
    timeline: messages.map((message) => ({
      at: message['created_at'],
      event: `message from ${String(message['source'])}`,
    })),
    classification: {
      category: 'feature',
      confidence: 0.8,
      programming_languages: ['TypeScript'],
      tools_and_frameworks: [],
    },
    suggested_prompt: {
      original_prompt: prompt,
      suggested_prompt: `${prompt} Name the tests to run.`,
      feedback_items: [],
    },
  }
  return {
    ...sessionItem(session, nowMs),
    num_user_messages: messages.filter((message) => message['source'] === 'user').length,
    num_devin_messages: messages.filter((message) => message['source'] === 'devin').length,
    session_size: sessionSize(session, nowMs),
    analysis: session.analysedMs !== null && session.analysedMs <= nowMs ? analysis : null,
  }
}

/** An attachment of a session, named by its own address. */
export function attachmentItem(url: string): Item {
  const [id = '', name = ''] = url.split('/').slice(-2)
  return { attachment_id: id, name: unquote(name), url, source: 'user', content_type: null }
}
