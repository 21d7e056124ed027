// What the instances of a group say to each other, and how it is read. Others may write into the store, so nothing is believed
// of a message but what is checked here. Used by group.ts and telling.ts.

/** One message. Its head is a digest of the head before and the payload. */
export interface Message {
  /** Head of the chain before it. */
  readonly before: string
  /** As it was sent. */
  readonly payload: string
  readonly body: Body
}

export type Body =
  /** Drop something; `from` waits for an answer under the number `call`. */
  | { readonly drop: readonly string[]; readonly unsettled: boolean; readonly from: string; readonly call: number }
  /** An instance is there from now on. */
  | { readonly joined: string }
  /** An instance stopped. It serves nothing any more. */
  | { readonly left: string }
  /** Instances were not heard of for so long that they cannot serve anything they had; they may be cut off and writing. */
  | { readonly gone: readonly string[] }

/** The answer to a drop. */
export interface Acknowledgement {
  readonly call: number
  readonly member: string
  readonly dropped: number
}

/** Null for what is no message. */
export function readMessage(text: string): Message | null {
  const [, before = '', payload = ''] = /^([0-9a-f]{40}) (\{.*\})$/s.exec(text) ?? []
  const body = payload === '' ? null : readBody(payload)
  return body === null ? null : { before, payload, body }
}

function readBody(payload: string): Body | null {
  const read = parsed(payload)
  const { drop, unsettled, from, call, joined, left, gone } = read
  if (typeof joined === 'string') return { joined }
  if (typeof left === 'string') return { left }
  if (isTexts(gone)) return { gone }
  if (isTexts(drop) && typeof unsettled === 'boolean' && typeof from === 'string' && typeof call === 'number')
    return { drop, unsettled, from, call }
  return null
}

function parsed(payload: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(payload)) as Readonly<Record<string, unknown>>
  } catch {
    return {}
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

export function writeAcknowledgement({ call, member, dropped }: Acknowledgement): string {
  return `${call} ${member} ${dropped}`
}

/** Null for what is none. */
export function readAcknowledgement(text: string): Acknowledgement | null {
  const [, call = '', member = '', dropped = ''] = /^(\d{1,15}) ([\w-]{1,64}) (\d{1,15})$/.exec(text) ?? []
  return member === '' ? null : { call: Number(call), member, dropped: Number(dropped) }
}
