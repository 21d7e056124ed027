// Follows reserved sessions until their cost is final: what they consume, when they sleep and end, what became of
// creates with an unknown outcome, and what the bill says. Rounds do not overlap; of several instances only the
// leader runs them.

import type { Budgets } from './budgets.ts'
import { unitsOfAcus, windowAt, billingPeriod } from './budget.ts'
import { Elapsed } from './elapsed.ts'
import { removeReservation, release, transition } from './session-reservation.ts'
import type { BudgetStore, ReservationState, SessionReservation } from './budget-store.ts'

/** A session as the API shows it. */
export interface SeenSession {
  /** With its prefix. */
  readonly id: string
  readonly status: string
  readonly archived: boolean
  readonly acus: number
  readonly createdAtMs: number
}

/** How sessions are read. Null: no key of the inventory can, or the API does not answer; the next round tries again. */
export interface SessionReader {
  /** Those of the sessions that the organization's list knows; at most `batchSize` are asked for. */
  list(organization: string, sessions: readonly string[]): Promise<readonly SeenSession[] | null>
  /** One session; `gone` when the API does not know it any more. */
  get(organization: string, session: string): Promise<SeenSession | 'gone' | null>
  /** Every session that was created through the API since; null also when there are too many to be sure. */
  createdSince(organization: string, sinceMs: number): Promise<readonly SeenSession[] | null>
  /** ACUs that the bill holds for a session between two instants, in milliseconds since the epoch. */
  billed(organization: string, session: string, fromMs: number, toMs: number): Promise<number | null>
}

export interface SettlementOptions {
  readonly budgetStore: BudgetStore
  readonly budgets: Pick<Budgets, 'update'>
  readonly sessions: SessionReader
  /** False while there is no budget: then the store is not used. */
  readonly isNeeded: () => boolean
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Monotonic clock, milliseconds. */
  readonly monotonic: () => number
  /** Pause between two rounds. */
  readonly everyMs: number
  /** A round failed; the next one tries again. */
  readonly onTrouble: (error: unknown) => void
}

/** Sessions in one list call: as many as an address of 4 KiB holds. */
export const batchSize = 50
const minuteMs = 60_000
const dayMs = 86_400_000

/** Rules of age, as docs/budgets.md tells them. */
const ages = {
  /** A create that is under way for so long has no caller any more. */
  pendingMs: 60 * minuteMs,
  /**
   * When settlement first looks for a session of unknown outcome, and how long after its create it may have been
   * created.
   */
  lookMs: minuteMs,
  windowMs: 5 * minuteMs,
  /** Without a session in the window by then, there is none. */
  releaseMs: 15 * minuteMs,
  /** A session that has just started to work is not taken for asleep. */
  settledMs: minuteMs,
  /** Sleeping sessions change only where others wake them. */
  asleepMs: 10 * minuteMs,
  /** Sessions expire after so long. */
  lifeMs: 30 * dayMs,
  /** A day's bill is read so long after the day has ended, and no later than this. */
  billMs: 60 * minuteMs,
  billPatienceMs: 3 * dayMs,
} as const

export type Settlement = ReturnType<typeof createSettlement>

export function createSettlement(options: SettlementOptions) {
  const { budgetStore, budgets, sessions, isNeeded, now, monotonic, everyMs, onTrouble } = options
  const elapsed = new Elapsed(options)
  const stateName = (id: string): string => `${id} state`
  /** The age of the reservation, and of its present state. */
  const ageOf = ({ id, atMs }: SessionReservation): number => elapsed.since(id, atMs)
  const stateAgeOf = ({ id, sinceMs }: SessionReservation): number => elapsed.since(stateName(id), sinceMs)
  /** When sleeping sessions were last checked. Kept per instance, since a second check does no harm. */
  const looks = new Map<string, number>()
  let timer: NodeJS.Timeout | null = null
  let underWay: Promise<void> | null = null
  let closed = false

  const turn = (
    { id }: SessionReservation,
    news: { state?: ReservationState; session?: string; guessed?: boolean; consumed?: number },
    when: (reservation: SessionReservation) => boolean,
  ): Promise<unknown> =>
    budgets.update(id, (known) => (known !== null && when(known) ? transition(known, news, now()) : null))

  async function settle(): Promise<void> {
    if (!isNeeded() || !budgetStore.isLeader()) return
    const all = await budgetStore.reservations()
    elapsed.keep(new Set(all.flatMap(({ id }) => [id, stateName(id)])))
    for (const reservation of all) {
      if (closed) return
      await age(reservation)
    }
    for (const [organization, reservations] of Map.groupBy(all, (reservation) => reservation.organization)) {
      if (closed) return
      await lookFor(organization, reservations)
      await follow(organization, reservations)
      for (const reservation of reservations) if (reservation.state === 'ended') await bill(reservation)
    }
  }

  /** What time alone decides. */
  async function age(reservation: SessionReservation): Promise<void> {
    const { state, bound } = reservation
    if (state === 'pending' && ageOf(reservation) > ages.pendingMs)
      await turn(reservation, { state: 'unclear' }, (known) => known.state === 'pending')
    if (ageOf(reservation) <= ages.lifeMs || state === 'ended') return
    // Nothing better is known: it counts as having cost all that was reserved.
    const consumed = state === 'asleep' ? reservation.consumed : Math.max(reservation.consumed, bound ?? 0)
    await turn(reservation, { state: 'ended', consumed }, (known) => known.state === state)
  }

  /** Sessions of creates whose outcome is unknown. */
  async function lookFor(organization: string, reservations: readonly SessionReservation[]): Promise<void> {
    const unclear = reservations
      .filter((reservation) => reservation.state === 'unclear' && ageOf(reservation) > ages.lookMs)
      .sort((a, b) => a.atMs - b.atMs)
    const [first] = unclear
    if (first === undefined) return
    const found = await sessions.createdSince(organization, first.atMs - 5000)
    if (found === null) return
    const free: SeenSession[] = []
    for (const session of found.toSorted((a, b) => a.createdAtMs - b.createdAtMs))
      if ((await budgetStore.findSession(session.id)) === null) free.push(session)
    for (const reservation of unclear) {
      // The API tells whole seconds.
      const index = free.findIndex(
        ({ createdAtMs }) => createdAtMs >= reservation.atMs - 2000 && createdAtMs <= reservation.atMs + ages.windowMs,
      )
      const [session] = index === -1 ? [] : free.splice(index, 1)
      if (session !== undefined)
        await turn(
          reservation,
          { ...newsOf(session), session: session.id, guessed: true },
          (known) => known.state === 'unclear',
        )
      else if (ageOf(reservation) > ages.releaseMs)
        await budgets.update(reservation.id, (known) => (known?.state === 'unclear' ? release(known) : null))
    }
  }

  /** What the sessions that are known have consumed, and whether they still can. */
  async function follow(organization: string, reservations: readonly SessionReservation[]): Promise<void> {
    const due = new Map(
      reservations.flatMap((reservation) =>
        reservation.session !== null && isDue(reservation) ? [[reservation.session, reservation] as const] : [],
      ),
    )
    const ids = [...due.keys()]
    for (let from = 0; from < ids.length; from += batchSize) {
      if (closed) return
      const batch = ids.slice(from, from + batchSize)
      const list = await sessions.list(organization, batch)
      if (list === null) return
      const listed = new Map(list.map((session) => [session.id, session]))
      for (const id of batch) {
        const reservation = due.get(id)
        // A list may leave out what it does not show, archived sessions for instance.
        const session = listed.get(id) ?? (await sessions.get(organization, id))
        if (reservation === undefined || session === null) continue
        if (reservation.state === 'asleep') looks.set(id, monotonic())
        await learn(reservation, session)
      }
    }
  }

  function isDue(reservation: SessionReservation): boolean {
    if (reservation.state !== 'asleep') return reservation.state === 'open'
    const lookedAtMs = looks.get(reservation.session ?? '')
    return (lookedAtMs === undefined ? stateAgeOf(reservation) : monotonic() - lookedAtMs) > ages.asleepMs
  }

  async function learn(reservation: SessionReservation, session: SeenSession | 'gone'): Promise<void> {
    // Its cost since it was last read is unknown; a sleeping session has cost nothing.
    const news =
      session === 'gone'
        ? {
            state: 'ended' as const,
            consumed:
              reservation.state === 'asleep'
                ? reservation.consumed
                : Math.max(reservation.consumed, reservation.bound ?? reservation.consumed),
          }
        : newsOf(session)
    if (news.state === reservation.state && news.consumed === reservation.consumed) return
    // A message has just been sent to it, and may not have woken it yet.
    if (news.state === 'asleep' && stateAgeOf(reservation) < ages.settledMs) return
    if (news.state === 'ended') looks.delete(reservation.session ?? '')
    await turn(reservation, news, (known) => known.state === reservation.state && known.sinceMs === reservation.sinceMs)
  }

  /** The bill is final once the day is over in which the session ended. */
  async function bill(reservation: SessionReservation): Promise<void> {
    const waitMs = windowAt(billingPeriod('day'), reservation.sinceMs).endMs + ages.billMs - reservation.sinceMs
    if (stateAgeOf(reservation) < waitMs) return
    const { organization, session, guessed, atMs } = reservation
    // Ask for its whole life by time: without times the bill may show the present cycle only; the documentation does
    // not say.
    const acus = session === null || guessed ? null : await sessions.billed(organization, session, atMs - dayMs, now())
    if (acus !== null && unitsOfAcus(acus) !== reservation.consumed)
      await turn(reservation, { consumed: unitsOfAcus(acus) }, (known) => known.state === 'ended')
    if (acus !== null || session === null || guessed || stateAgeOf(reservation) > waitMs + ages.billPatienceMs)
      await budgets.update(reservation.id, (known) => (known?.state === 'ended' ? removeReservation(known) : null))
  }

  /** One round now, or the one under way. */
  function round(): Promise<void> {
    underWay ??= settle()
      .catch(onTrouble)
      .finally(() => (underWay = null))
    return underWay
  }

  function schedule(): void {
    if (closed) return
    timer = setTimeout(() => void round().then(schedule), everyMs).unref()
  }

  return {
    /** Begins the rounds. */
    start: schedule,
    round,
    /** Waits for the round under way. */
    close(): Promise<void> {
      closed = true
      if (timer !== null) clearTimeout(timer)
      return underWay ?? Promise.resolve()
    },
  }
}

/** Archived sessions are frozen. An unknown status may still cost something, so it counts as open. */
function newsOf({ status, archived, acus }: SeenSession): { state: ReservationState; consumed: number } {
  const over = archived || status === 'exit' || status === 'error'
  return { state: over ? 'ended' : status === 'suspended' ? 'asleep' : 'open', consumed: unitsOfAcus(acus) }
}
