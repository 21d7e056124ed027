// What `/readyz` says of policies, keys and issuers: notes, and the one reason that takes the instance out of service.

import type { IssuerConfig } from '../../config/issuer-schema.ts'
import { codeInWords } from '../../config/values/file-errors.ts'
import type { IssuerStatus } from '../../identity/signing-keys/signing-keys.ts'
import type { KeyStatus } from '../../keys/keyring.ts'
import { refusedAt, type OverloadLevel } from '../../gateway/load/overload.ts'
import type { StreamHealth } from '../../records/sinks.ts'
import type { RefusedChange } from '../live-policies.ts'

/** That the policy files and the policies in force differ, and the first reason. */
export function refusalNote({ result, diagnostics }: RefusedChange): string {
  const why = result === 'held' ? 'wait for a reload on demand' : 'were refused'
  const others = diagnostics.length > 1 ? `, and ${diagnostics.length - 1} more` : ''
  return `the changed policies ${why}, and the ones before stay in force: ${diagnostics[0] ?? ''}${others}`
}

/** That the files of the shadow set were refused, and the first reason. */
export function shadowNote(diagnostics: readonly string[]): string {
  const others = diagnostics.length > 1 ? `, and ${diagnostics.length - 1} more` : ''
  return `the shadow set was refused, and the policies in force are not concerned: ${diagnostics[0] ?? ''}${others}`
}

/** That a file which is read at the start only says something else now. */
export function changedFileNote(file: string): string {
  return `${file} has changed since the start: restart to use it`
}

/** That keys could not be renewed and are still believed. Null for an issuer whose keys are fresh, or that has none. */
export function staleKeysNote({ issuer, ageMs, givenUpInMs, lastError }: IssuerStatus): string | null {
  if (givenUpInMs === null || ageMs === null) return null
  return `the signing keys of issuer ${issuer} are ${spanOf(ageMs)} old and cannot be renewed: ${lastError}; they are given up in ${spanOf(givenUpInMs)}`
}

/** That tokens of an issuer may be refused as expired, or as not yet valid, because the clocks differ. */
export function clockNote({ issuer, clockSkewMs }: IssuerStatus, issuers: readonly IssuerConfig[]): string | null {
  const toleranceMs = issuers.find((each) => each.issuer === issuer)?.clockToleranceMs ?? 0
  // The date that tells of it is cut off to whole seconds.
  if (clockSkewMs === null || Math.abs(clockSkewMs) <= toleranceMs + 1000) return null
  const seconds = Math.round(Math.abs(clockSkewMs) / 1000)
  return `the clock of issuer ${issuer} is ${seconds} s ${clockSkewMs > 0 ? 'ahead' : 'behind'}, more than clock_tolerance: check both clocks`
}

/** That a key's source cannot be read, and what follows. Null while it can. */
export function keySourceNote({ handle, state, sourceFault, valueAgeMs }: KeyStatus): string | null {
  if (sourceFault === null) return null
  const then =
    state === 'unresolved'
      ? 'calls that need it are refused'
      : `its value stays in use${valueAgeMs === null ? '' : `, as it was ${spanOf(valueAgeMs)} ago`}`
  return `key "${handle.id}": ${sourceFault}; ${then}`
}

/** That no key has a value, so that nothing could be forwarded. */
export function noValuesReason(keys: readonly KeyStatus[]): readonly string[] {
  const hasNone = keys.length > 0 && keys.every(({ state }) => state === 'unresolved')
  return hasNone ? ['no key has a value yet: the places where they are kept give no answer'] : []
}

/** In the largest unit that tells something. */
export function spanOf(ms: number): string {
  const minutes = Math.floor(ms / 60_000)
  return minutes < 1 ? 'less than a minute' : minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`
}

/** A time of ISO 8601 as people read it, to the minute. */
export function minuteOf(time: string): string {
  return `${time.slice(0, 16).replace('T', ' ')} UTC`
}

/** That requests are refused because the instance has more to do than it can. Null where none is. */
export function overloadNote(level: OverloadLevel): string | null {
  if (level === 0) return null
  const { beyondShare, withinShare } = refusedAt(level)
  const others = withinShare.length === 0 ? 'none' : withinShare.join(', ')
  return `the event loop lags; requests are refused of teams that make more than their share of the load (priority ${beyondShare.join(', ')}) and of other teams (priority ${others})`
}

/** That a record file or the log cannot be written, why, and what to do. */
export function unwritableNotes(streams: readonly StreamHealth[], logFault: string | null): readonly string[] {
  const ofStreams = streams.flatMap(({ stream, healthy, error, lost }) => {
    if (healthy) return []
    const what =
      stream === 'audit'
        ? 'the audit log cannot be written'
        : `the records of ${stream} cannot be written, and what does not fit into memory is lost (${lost} so far)`
    return [
      `${what}: ${whyUnwritable(error)}; make room or repair the target of records.${stream}, and writing goes on`,
    ]
  })
  if (logFault === null) return ofStreams
  return [
    ...ofStreams,
    `the log of the process cannot be written: ${whyUnwritable(logFault)}; make room or repair where its standard error goes, and writing goes on`,
  ]
}

function whyUnwritable(error: string | null): string {
  return error === null ? 'the disk has not answered yet' : codeInWords(error)
}
