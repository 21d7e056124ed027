// What operators see of the powers of keys against the policies and their use. Listed fields of plain data, so that no secret fits in.

import type { KeyFindingKind } from '../../policy/key-report/findings.ts'

/** `now`: requests fail, or the key is not the declared one. `soon`: it ends, or has power that nobody declared. `later`: tidying up. */
export const keyUrgencies = ['now', 'soon', 'later'] as const

export interface KeyFindingView {
  readonly key: string
  readonly finding: KeyFindingKind
  readonly urgency: (typeof keyUrgencies)[number]
  /** A sentence. */
  readonly what: string
  /** Sentences that say what to do. */
  readonly do: string
  /** File and line of the inventory. */
  readonly source: string
  /** The permissions that `what` ends with, where they are those that nobody has used; else empty. */
  readonly unused: readonly string[]
}

/** What one key is chosen for by the policies. */
export interface KeyPowersView {
  readonly key: string
  readonly teams: readonly string[]
  /** Permissions of the key that a right of a team needs. */
  readonly needed: readonly string[]
  /** Operations that the gateway itself may call with it. */
  readonly gateway_uses: readonly string[]
}

export interface KeyReportView {
  /** `deciding`: what is shown is of the policies before, or nothing is known yet. `failed`: the log says why; it is tried again. */
  readonly state: 'known' | 'deciding' | 'failed'
  /** The policies that it is about; null while nothing is known yet. */
  readonly revision: string | null
  /** Uses of keys are watched since then; from a day later what nobody used is a finding. */
  readonly watched_since: string
  readonly unused_told_from: string
  /** The most urgent first. */
  readonly findings: readonly KeyFindingView[]
  readonly keys: readonly KeyPowersView[]
}
