// The names of the stages, as records and traces have them.

/** The stages of a request in their order; `own-page` answers what is under /gateway/. Records say at which one it ended. */
export const stageNames = [
  'open',
  'read-request',
  'own-page',
  'authenticate',
  'check-blocks',
  'authorize',
  'shed-load',
  'admit-body',
  'judge-body',
  'claim-idempotency-key',
  'choose-key',
  'take-limits',
  'read-body',
  'reserve-budget',
  'answer-from-cache',
  'open-key',
  'forward',
] as const
export type StageName = (typeof stageNames)[number]
