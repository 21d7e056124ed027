// The error that carries a row of the table of refusals. Stages throw a Problem; gateway/app.ts alone turns it into a response.

import { problemKinds, type ProblemKindName } from './problem-kinds.ts'

/** Header fields that go with a problem, names in lower case. */
export type ProblemFields = Readonly<Record<string, string>>

export interface ProblemOptions {
  /** Inner reason for records and `explain`; the kind itself unless a finer one is known. */
  readonly reason?: string
  readonly fields?: ProblemFields
  /** Further members of the problem document; never a secret. */
  readonly members?: Readonly<Record<string, unknown>>
  /** What the caller can do if nothing was changed by the request; after a write that may have been done it does not hold. */
  readonly advice?: string
  readonly cause?: unknown
}

const none: Readonly<Record<string, unknown>> = {}

/** A refusal or failure on its way to the caller. `detail` is a sentence that says what to do and holds no secret. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly kind: ProblemKindName
  readonly reason: string
  readonly fields: ProblemFields
  readonly members: Readonly<Record<string, unknown>>
  readonly advice: string | null

  constructor(kind: ProblemKindName, detail: string, options: ProblemOptions = {}) {
    // Refusals are frequent and need no stack. Of a failure the cause matters, and it has its own stack.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(detail, options.cause === undefined ? undefined : { cause: options.cause })
    Error.stackTraceLimit = stackTraceLimit
    this.kind = kind
    this.reason = options.reason ?? kind
    this.fields = options.fields ?? {}
    this.members = options.members ?? none
    this.advice = options.advice ?? null
  }

  get status(): number {
    return problemKinds[this.kind].status
  }
}

/** Turns anything that was thrown into a Problem. Anything else is a defect of ours, and its text is not shown. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  return new Problem('internal', 'The gateway failed on this request. Tell its operator the decision id.', {
    cause: error,
  })
}

/** Path of the page that explains a kind; it is also the problem's `type` (a relative reference, RFC 9457 section 3.1.1). */
export function problemType(kind: ProblemKindName): string {
  return `/gateway/v1/problems/${kind}`
}
