// What a source of secrets is: the place where the value of one secret is kept.

/** A text that a source keeps, and the source's own name for this version of it, where it has versions. */
export interface KeptText {
  readonly text: string
  readonly version: string | null
}

/** Where one secret is kept. Its methods never put a value into an error. */
export interface SecretSource {
  /** The place in words, as the middle of a sentence: `the file /etc/keys/a`, `the environment variable A`. */
  readonly place: string
  /** Reads what is kept there now. Throws SourceFault. */
  read(signal: AbortSignal): Promise<KeptText>
  /**
   * Keeps another text there, so that every later `read` gives it, or leaves the old one. Throws SourceFault. Null where
   * nothing can be written.
   */
  readonly write: ((text: string, signal: AbortSignal) => Promise<void>) | null
}

/**
 * `absent`: nothing is kept there. `denied`: the source does not allow it. `unavailable`: it gave no answer, and may come
 * back. `wrong`: there is something, and it cannot be used.
 */
export type SourceFaultKind = 'absent' | 'denied' | 'unavailable' | 'wrong'

/** Why a source could not be read or written: a sentence that names the place, and holds no part of any value. */
export class SourceFault extends Error {
  override readonly name = 'SourceFault'
  readonly kind: SourceFaultKind

  constructor(kind: SourceFaultKind, message: string) {
    super(message)
    this.kind = kind
  }
}

/** What a source keeps at most. A key is far shorter; a device or a log file is no key. */
export const mostBytes = 64 * 1024

/** Without one final line break behind other text: editors and `echo` add one. */
export function withoutFinalBreak(text: string): string {
  return text.replace(/(?<=[^])\r?\n$/, '')
}
