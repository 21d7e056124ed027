// Reads the values of keys from their sources: each with a deadline, all at once, and without a word of any value in what is said.

import { setImmediate } from 'node:timers/promises'
import { openToOthers } from '../config/values/file-errors.ts'
import type { SecretReference } from '../config/secret-schema.ts'
import type { KeyHandle } from './key.ts'
import { Secret } from './secret.ts'
import { isLocal, localSource } from './sources/local-source.ts'
import type { RemoteSources } from './sources/open.ts'
import { SourceFault, type SecretSource } from './sources/source.ts'
import { valueFault } from './value-fault.ts'

/** A value, and the source's own name for this version of it. */
export interface ReadSecret {
  readonly secret: Secret
  readonly sourceVersion: string | null
}

/** What reading a set of keys came to, by key id. Not yet in use. */
export interface ResolvedSecrets {
  readonly values: ReadonlyMap<string, ReadSecret>
  /** Keys whose source gave no answer, and may give one later. */
  readonly away: ReadonlyMap<string, SourceFault>
}

/** What is to be said about one key. */
export interface KeyRemark {
  readonly handle: KeyHandle
  readonly message: string
  /** Nothing is there: usual where only the files are checked. False where a name beside it was probably meant. */
  readonly isAbsent?: boolean
}

export interface SecretSources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The upstream's scheme, host and port, to which every value is bound. */
  readonly origin: string
  /** Sources by key id, in place of what the references of the keys say. */
  readonly given?: ((id: string) => SecretSource) | undefined
  /** Programs and servers that keep secrets. Without it none is asked: a command that only checks runs no programs. */
  readonly remote?: RemoteSources
  /** Whether a value of the key is known: then a reload does not wait long for its source. */
  readonly isKnown?: (handle: KeyHandle) => boolean
  /** Called with every value that is read, before anything can use it, so that the leak guard knows it. */
  readonly protect?: (value: string) => void
  /**
   * Called with every secret file that is looked for, also in sets that are refused: when the file appears, the set
   * may become valid.
   */
  readonly noteFile?: (file: string) => void
}

/** The longest that a source may take, programs with a time of their own excepted. */
const deadlineMs = 10_000
/** Of a program: its own time begins when its turn has come. */
const programDeadlineMs = 30_000
/** A reload waits so long for a value that it can do without. */
const knownDeadlineMs = 2_000

/** The source of a key, or null where it would have to be asked and nobody may. */
export function sourceOf(handle: KeyHandle, { env, given, remote }: SecretSources): SecretSource | null {
  if (given !== undefined) return given(handle.id)
  if (isLocal(handle.secret)) return localSource(handle.secret, env)
  return remote?.of(handle.secret) ?? null
}

/** Reads the value of every handle. Those that cannot be resolved are listed; no message holds any part of a value. */
export async function resolveSecrets(
  handles: readonly KeyHandle[],
  sources: SecretSources,
): Promise<
  ResolvedSecrets & {
    readonly unresolved: readonly KeyRemark[]
    /** Keys whose source nobody asked. */
    readonly unasked: readonly KeyHandle[]
    /** About values that can be used, and sources that are away. */
    readonly warnings: readonly KeyRemark[]
  }
> {
  const values = new Map<string, ReadSecret>()
  const away = new Map<string, SourceFault>()
  const unresolved: KeyRemark[] = []
  const unasked: KeyHandle[] = []
  const warnings: KeyRemark[] = []
  const readings: Promise<{ readonly handle: KeyHandle; readonly found: Awaited<ReturnType<typeof readNow>> }>[] = []
  for (const handle of handles) {
    readings.push(readNow(handle, sources, waitMs(handle, sources)).then((found) => ({ handle, found })))
    if (readings.length % keysPerTurn === 0) await setImmediate()
  }
  const byMark = new Map<string, string>()
  for (const { handle, found } of await Promise.all(readings)) {
    const remark = (message: string): KeyRemark => ({ handle, message: `key "${handle.id}": ${message}` })
    if (found === null) unasked.push(handle)
    else if (found instanceof SourceFault) {
      if (found.kind === 'unavailable') away.set(handle.id, found)
      else
        unresolved.push({
          ...remark(found.message),
          isAbsent: found.kind === 'absent' && !found.message.includes('did you mean'),
        })
    } else {
      const mark = found.secret.mark()
      const twin = byMark.get(mark)
      byMark.set(mark, twin ?? handle.id)
      if (values.size % keysPerTurn === 0) await setImmediate()
      if (twin !== undefined)
        warnings.push(
          remark(`its value is also that of key "${twin}": one of the two names the wrong secret, or is superfluous`),
        )
      const isOpen =
        sources.given === undefined && 'file' in handle.secret ? await openToOthers(handle.secret.file) : null
      if (isOpen !== null) warnings.push(remark(isOpen))
      values.set(handle.id, found)
    }
  }
  for (const handle of handles) {
    const fault = away.get(handle.id)
    if (fault !== undefined) warnings.push({ handle, message: `key "${handle.id}": ${fault.message}` })
  }
  return { values, away, unresolved, unasked, warnings }
}

/** Of thousands of keys only so many are begun, or looked at, in one turn of the event loop. */
const keysPerTurn = 32

function waitMs(handle: KeyHandle, { isKnown }: SecretSources): number {
  return isKnown?.(handle) === true ? Math.min(knownDeadlineMs, deadlineOf(handle.secret)) : deadlineOf(handle.secret)
}

function deadlineOf(reference: SecretReference): number {
  return 'exec' in reference ? programDeadlineMs : deadlineMs
}

/**
 * The value that a key's source keeps now, or why there is none. Answers within the time, whatever the source does. Never
 * throws. Null where nobody may ask.
 */
export async function readNow(
  handle: KeyHandle,
  sources: SecretSources,
  withinMs = deadlineOf(handle.secret),
): Promise<ReadSecret | SourceFault | null> {
  if (sources.given === undefined && 'file' in handle.secret) sources.noteFile?.(handle.secret.file)
  const source = sourceOf(handle, sources)
  if (source === null) return null
  const kept = await withDeadline(source, withinMs, (signal) => source.read(signal))
  if (kept instanceof SourceFault) return kept
  if (kept.text === '') return new SourceFault('wrong', `${source.place} is empty: it should hold the key`)
  const fault = valueFault(kept.text)
  if (fault !== null) return new SourceFault('wrong', `${source.place} does not hold a service-user key: ${fault}`)
  sources.protect?.(kept.text)
  return { secret: new Secret(kept.text, sources.origin), sourceVersion: kept.version }
}

/** The text behind a reference, as it is kept now. `what`: what it should be. Throws SourceFault. */
export async function readPlainSecret(
  reference: SecretReference,
  what: string,
  { env, remote }: { readonly env: SecretSources['env']; readonly remote: RemoteSources },
): Promise<string> {
  const source = isLocal(reference) ? localSource(reference, env) : remote.of(reference)
  const kept = await withDeadline(source, deadlineOf(reference), (signal) => source.read(signal))
  if (kept instanceof SourceFault) throw kept
  if (kept.text === '') throw new SourceFault('wrong', `${source.place} is empty: it should hold the ${what}`)
  return kept.text
}

/** What a source answers within a time, or why it does not. An error that is no SourceFault may hold anything, so it is not repeated. */
export async function withDeadline<T>(
  { place }: SecretSource,
  withinMs: number,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T | SourceFault> {
  const deadline = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<SourceFault>((resolve) => {
    timer = setTimeout(() => {
      resolve(new SourceFault('unavailable', `${place} gave no answer within ${withinMs / 1000} s`))
      deadline.abort()
    }, withinMs)
  })
  const answer = ask(deadline.signal).catch((error: unknown) =>
    error instanceof SourceFault ? error : new SourceFault('unavailable', `${place} could not be asked`),
  )
  const first = await Promise.race([answer, late])
  clearTimeout(timer)
  return first
}

/** The same source, which answers within a time, whatever it does. */
export function inTime(source: SecretSource, withinMs: number): SecretSource {
  const { place, write } = source
  async function ask<T>(outer: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const found = await withDeadline(source, withinMs, (signal) => work(AbortSignal.any([outer, signal])))
    if (found instanceof SourceFault) throw found
    return found
  }
  return {
    place,
    read: (signal) => ask(signal, (either) => source.read(either)),
    write: write === null ? null : (text, signal) => ask(signal, (either) => write.call(source, text, either)),
  }
}
