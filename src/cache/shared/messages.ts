// Messages between caches, and their acknowledgements. Others may write into the store, so every message is validated.

/** Drop something; `from` waits for an answer under the number `call`. */
export interface DropMessage {
  readonly drop: readonly string[]
  readonly unsettled: boolean
  readonly from: string
  readonly call: number
}

export interface Acknowledgement {
  readonly call: number
  readonly member: string
  readonly dropped: number
}

export function readDrop({ drop, unsettled, from, call }: Readonly<Record<string, unknown>>): DropMessage | null {
  const isDrop = Array.isArray(drop) && drop.every((name): name is string => typeof name === 'string')
  if (!isDrop || typeof unsettled !== 'boolean' || typeof from !== 'string' || typeof call !== 'number') return null
  return { drop, unsettled, from, call }
}

export function writeAcknowledgement({ call, member, dropped }: Acknowledgement): string {
  return `${call} ${member} ${dropped}`
}

export function readAcknowledgement(text: string): Acknowledgement | null {
  const [, call = '', member = '', dropped = ''] = /^(\d{1,15}) ([\w-]{1,64}) (\d{1,15})$/.exec(text) ?? []
  return member === '' ? null : { call: Number(call), member, dropped: Number(dropped) }
}
