// What guardrails take out of the answers to one caller. Types only; response-rules.ts compiles them.

/** What has to be done to the answer of one request before its caller gets it. */
export interface ResponseRule {
  /** Ids of the guardrails that want it. */
  readonly guardrails: readonly string[]
  /** Only items of these organizations pass, in the order of their ids; `all` where nothing is filtered by organization. */
  readonly organizations: 'all' | readonly string[]
  /** Fields that are dropped, dotted. */
  readonly drop: readonly string[]
  /** Equal for two rules exactly when both show the same of an answer. */
  readonly digest: string
}
