// The place of a policy definition and its mode. Types only.

/**
 * `enforce`: applied. `warn`: a grant is applied, and what would be denied without it is recorded; a guardrail is not applied,
 * and what it would refuse is recorded so. `shadow`: decided and recorded, not applied. `off`: not looked at.
 */
export type RuleMode = 'enforce' | 'warn' | 'shadow' | 'off'

/** The place of a definition, for messages. */
export interface Source {
  readonly file: string
  readonly line: number
}
