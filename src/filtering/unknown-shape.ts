// What is thrown where an answer is not what the catalogue says of it: then nothing of it is passed on.

/** `message` completes "the answer is refused because …" and repeats nothing of the answer, which may be somebody else's. */
export class UnknownShape extends Error {
  override readonly name = 'UnknownShape'

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
  }
}
