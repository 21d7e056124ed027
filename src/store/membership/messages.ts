// A message as the channel carries it. Others may write into the store, so every message is validated here and by its
// receiver.

/** One message. Its head is a digest of the head before and the payload. */
export interface MemberMessage {
  /** Head of the chain before it. */
  readonly before: string
  /** As it was sent. */
  readonly payload: string
  readonly body: Readonly<Record<string, unknown>>
}

/** Null for what is no message. */
export function readMessage(text: string): MemberMessage | null {
  const [, before = '', payload = ''] = /^([0-9a-f]{40}) (\{.*\})$/s.exec(text) ?? []
  if (payload === '') return null
  try {
    const body: unknown = JSON.parse(payload)
    // The pattern lets only objects pass.
    return { before, payload, body: body as Readonly<Record<string, unknown>> }
  } catch {
    return null
  }
}

/** The names in a field of a message; none when it is no list of texts. */
export function namesIn(value: unknown): readonly string[] | null {
  return Array.isArray(value) && value.every((each) => typeof each === 'string') ? value : null
}
