// The place of a policy definition and its mode. Types only.

/** `enforce`: applied; `shadow`: decided and recorded, not applied; `off`: not looked at. */
export type Mode = 'enforce' | 'shadow' | 'off'

/** The place of a definition, for messages. */
export interface Source {
  readonly file: string
  readonly line: number
}
