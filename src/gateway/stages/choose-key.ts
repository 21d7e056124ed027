// Stage: whether the inventory has a key that can serve the request, as chosen with the decision.

import type { RequestContext } from '../context.ts'
import { keyMissing } from '../refusals/keys.ts'
import type { StageResult } from './stage.ts'

export function chooseKey({ decided }: RequestContext): StageResult {
  const { key, facts, requirement } = decided
  return key === null ? keyMissing(facts.operation, requirement?.organization ?? null) : undefined
}
