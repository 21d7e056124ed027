// One line of a decision log, as far as it is read to decide again. Logs of earlier versions lack members. Types only.

import { isObject, memberOf } from '../../json/untyped.ts'

export interface RecordedDecision {
  readonly time: string
  readonly decision_id: string
  readonly effect: string
  readonly reason: string
  readonly detail?: string | null
  readonly subject?: string | null
  readonly issuer?: string | null
  readonly email?: string | null
  readonly email_verified?: boolean
  readonly app?: string | null
  readonly actor?: string | null
  readonly groups?: readonly string[]
  readonly claims?: Readonly<Record<string, unknown>>
  readonly team?: string | null
  readonly grant?: string | null
  readonly key?: string | null
  readonly operation?: string | null
  readonly organizations?: readonly string[]
  readonly extra_permissions?: readonly string[]
  readonly guardrails?: RecordedGuardrails | null
  readonly policy_revision?: string | null
  readonly ended?: { readonly stage?: string }
  /** Absent in records of earlier versions; null where no policy decided. */
  readonly request?: RecordedRequest | null
  /** Decisions before this one that could not be written. */
  readonly lost_before?: number
}

export interface RecordedGuardrails {
  readonly applied?: readonly string[]
  readonly shadow?: readonly { readonly guardrail?: unknown }[]
  readonly read?: Readonly<Record<string, unknown>>
  readonly changed?: readonly RecordedFinding[]
  readonly refused?: readonly RecordedFinding[]
  readonly filtered?: {
    readonly organizations?: 'all' | readonly string[]
    readonly fields?: readonly string[]
  } | null
}

export interface RecordedFinding {
  readonly guardrail?: string
  readonly in?: string
  readonly place?: string
  readonly bound?: string
}

/** What the request itself said, as far as a rule could read it. */
export interface RecordedRequest {
  readonly body_read?: boolean
  readonly query?: Readonly<Record<string, unknown>>
  readonly undocumented?: string
  readonly doubtful?: { readonly in?: string; readonly name?: string }
  /** Members of the body at its top; absent where no rule on its fields bound the request. */
  readonly body?: Readonly<Record<string, unknown>> | null
  readonly added?: Readonly<Record<string, readonly unknown[]>>
  readonly devin_user?: string | null
}

/** Whether a parsed line is a decision record, with members of the types that the gateway writes. */
export function isRecordedDecision(value: unknown): value is RecordedDecision {
  const member = (name: string): unknown => memberOf(value, name)
  return (
    ['decision_id', 'effect', 'reason', 'time'].every((name) => typeof member(name) === 'string') &&
    isTime(String(member('time'))) &&
    ['subject', 'issuer', 'email', 'app', 'actor', 'team', 'grant', 'key', 'operation'].every((name) =>
      isAbsentOr(member(name), (each) => typeof each === 'string'),
    ) &&
    ['groups', 'organizations', 'extra_permissions'].every((name) => isAbsentOr(member(name), isTexts)) &&
    ['claims', 'guardrails', 'request', 'ended'].every((name) => isAbsentOr(member(name), isObject)) &&
    isGuardrails(member('guardrails'))
  )
}

/** Records are put into order, and asked for their age, by their times. */
function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT/.test(text) && !Number.isNaN(Date.parse(text))
}

function isGuardrails(value: unknown): boolean {
  if (!isObject(value)) return true
  return (
    ['applied', 'shadow', 'changed', 'refused'].every((name) => isAbsentOr(value[name], Array.isArray)) &&
    isAbsentOr(value['read'], isObject) &&
    isAbsentOr(value['filtered'], isObject)
  )
}

function isAbsentOr(value: unknown, test: (value: unknown) => boolean): boolean {
  return value === undefined || value === null || test(value)
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}
