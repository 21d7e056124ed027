// Makes the cache request of an allowed request: who shares the answer, for how long, and which tags drop it.

import { ruleFor } from '../cache/lifetimes.ts'
import type { CacheRule, CacheRequest } from '../cache/cache-request.ts'
import { operationTag, organizationTag, resourceTag } from '../cache/invalidation/tags.ts'
import type { Catalogue } from '../catalogue/catalogue.ts'
import type { Operation } from '../catalogue/operation.ts'
import { addressOf, type Target } from '../catalogue/target.ts'
import type { KeyHandle } from '../keys/key.ts'
import type { Evaluation } from '../policy/decision/evaluate.ts'
import { acceptedCodings } from '../http/accept-encoding.ts'
import type { DecisionMemo } from './evaluation-memo.ts'
import type { CallerFields } from './fields.ts'
import type { Facts, ResponseFilter } from '../policy/model/decision.ts'

const notKept: CacheRule = { kind: 'never' }

/**
 * The request for the cache. Those who would use the same key share answers. What follows from the evaluation alone is made
 * once for requests that repeat it.
 */
export function cacheRequestOf(
  evaluation: Evaluation,
  memo: DecisionMemo,
  catalogue: Catalogue,
  method: string,
  fields: CallerFields,
  now: () => number,
): CacheRequest {
  const { decision, facts, key, target } = evaluation
  const { operation } = facts
  const reads = method === 'GET' || method === 'HEAD'
  const rule = !reads
    ? (memo.cacheRequest?.rule ?? ruleOfWrite(catalogue, target))
    : operation.streaming
      ? notKept
      : ruleFor(operation.cache, target.query, now)
  // The rule of a window changes when the window is over.
  if (memo.cacheRequest?.rule !== rule)
    memo.cacheRequest = {
      operation: operation.id,
      partition: key === null ? '' : partitionOf(key.key, decision.response),
      method,
      target: addressOf(target),
      rule,
      tags: reads ? namesOfRead(facts, target, rule) : namesOfWrite(facts, catalogue),
      atMostMs: decision.team?.cacheAtMostMs ?? null,
      mayBeAbsent: asksForOneThing(operation),
    }
  return {
    ...memo.cacheRequest,
    fields: [...fields.forward, ...fields.ranges, 'accept-encoding', acceptedCodings(fields.acceptEncoding)],
  }
}

/** For a list a 404 does not mean that an object is absent. */
function asksForOneThing({ segments, organizations }: Operation): boolean {
  return (
    segments.some((segment, index) => segment.startsWith('{') && index !== organizations.segment) ||
    (segments.at(-1)?.startsWith('{') ?? false)
  )
}

/** A write follows the caching rules of the reads of the same path. */
function ruleOfWrite(catalogue: Catalogue, { segments }: Target): CacheRule {
  const read = catalogue.match('GET', segments)
  return 'cache' in read && read.cache.startsWith('rfc9111') ? ruleFor(read.cache, '', () => 0) : notKept
}

/** Not the value's version, since a rotated key sees the same; scope and organization, since an id can be reassigned. */
function partitionOf({ id, scope, organization }: KeyHandle, filter: ResponseFilter | null): string {
  const handle = `${id} ${scope} ${organization ?? ''}`
  return filter === null ? handle : `${handle} ${filter.digest}`
}

/** An answer about a time that is over does not change any more: only a purge drops it. */
function namesOfRead(
  { operation, organization, organizations: named }: Facts,
  target: Target,
  rule: CacheRule,
): string[] {
  const { id, segments, organizations } = operation
  const over = rule.kind === 'class' && rule.ttlMs > 3_600_000
  const names = over ? [] : [operationTag(id, null)]
  for (const [index, segment] of segments.entries()) {
    if (segment.startsWith('{') && index !== organizations.segment)
      names.push(resourceTag(target.segments[index] ?? ''))
  }
  if (organization !== null && !over) names.push(operationTag(id, organization))
  for (const each of named) names.push(organizationTag(each))
  if (named.length === 0) names.push(organizationTag(null))
  return names
}

/** A write inside an organization leaves the answers about the others alone. */
function namesOfWrite({ operation, organization }: Facts, catalogue: Catalogue): string[] {
  return operation.invalidates.map((id) => {
    const bound = organization !== null && (catalogue.operation(id)?.organizations.segment ?? -1) !== -1
    return operationTag(id, bound ? organization : null)
  })
}
