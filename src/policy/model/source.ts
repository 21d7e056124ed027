// Where something of a policy stands, and whether it is applied: types alone.

/** `enforce`: applied; `shadow`: decided and recorded, not applied; `off`: not looked at. */
export type Mode = 'enforce' | 'shadow' | 'off'

/** The place of a definition, for messages. */
export interface Source {
  readonly file: string
  readonly line: number
}
