// How a session lives through its states by the clock alone: nothing runs, every read works out where the session stands.
// Simulated work is fast, one ACU per minute of it, so that a person who polls sees the figures move.

/** Milliseconds of a second. */
export const SECOND_MS = 1000
/** From creation to `claimed`, and from there to `running`. */
const CLAIM_MS = 2 * SECOND_MS
const RESUME_MS = 2 * SECOND_MS
/** Work that one prompt or message causes. */
const WORK_MS = 60 * SECOND_MS
/** An idle session falls asleep after half an hour, as documented. */
const IDLE_MS = 30 * 60 * SECOND_MS
const ACUS_PER_MS = 1 / (60 * SECOND_MS)

/** The state from which a stretch of work was caused. */
export type Start = 'new' | 'resume' | 'running'

/** An end, or a sleep that the clock did not bring. */
export interface Stop {
  readonly status: 'suspended' | 'exit' | 'error'
  readonly detail: string
}

/** All that the state of a session follows from, besides the instant. */
export interface Life {
  /** When the present stretch of work was caused, and from which state. */
  readonly wokenMs: number
  readonly start: Start
  /** Consumed before the present stretch. */
  readonly acusBefore: number
  /** Cost of the mode: `fast` takes about four times as much. */
  readonly pace: number
  readonly maxAcus: number | null
  readonly stopped: Stop | null
}

/** The state of a session at an instant. */
export interface Phase {
  readonly status: string
  readonly detail: string | null
  readonly acus: number
}

/** Where the session stands at an instant. Pure. */
export function phaseAt(life: Life, nowMs: number): Phase {
  if (life.stopped !== null) return { ...life.stopped, acus: life.acusBefore }
  const worked = Math.max(0, nowMs - life.wokenMs - startMs(life.start))
  const earned = life.acusBefore + Math.min(worked, WORK_MS) * ACUS_PER_MS * life.pace
  const acus = round(Math.min(earned, life.maxAcus ?? Infinity))
  if (nowMs - life.wokenMs < startMs(life.start)) return { status: starting(life, nowMs), detail: null, acus }
  if (life.maxAcus !== null && earned >= life.maxAcus)
    return { status: 'suspended', detail: 'usage_limit_exceeded', acus }
  if (worked < WORK_MS) return { status: 'running', detail: 'working', acus }
  if (worked < WORK_MS + IDLE_MS) return { status: 'running', detail: 'waiting_for_user', acus }
  return { status: 'suspended', detail: 'inactivity', acus }
}

function starting(life: Life, nowMs: number): string {
  if (life.start === 'resume') return 'resuming'
  return nowMs - life.wokenMs < CLAIM_MS ? 'new' : 'claimed'
}

function startMs(start: Start): number {
  return { new: 2 * CLAIM_MS, resume: RESUME_MS, running: 0 }[start]
}

/** When the work of the present stretch is done and the session answers. */
export function doneMs(life: Life): number {
  return life.wokenMs + startMs(life.start) + WORK_MS
}

/** A message came: a sleeping session resumes, a running one goes on working. */
export function wake(life: Life, nowMs: number): Life {
  const { status, acus } = phaseAt(life, nowMs)
  const start: Start = status === 'suspended' ? 'resume' : status === 'running' ? 'running' : life.start
  return {
    ...life,
    acusBefore: acus,
    wokenMs: status === 'new' || status === 'claimed' ? life.wokenMs : nowMs,
    start,
    stopped: null,
  }
}

/** Ends the session or puts it to sleep; what it consumed stays. */
export function stop(life: Life, nowMs: number, stopped: Stop): Life {
  return { ...life, acusBefore: phaseAt(life, nowMs).acus, stopped }
}

function round(acus: number): number {
  return Math.round(acus * 10_000) / 10_000
}
