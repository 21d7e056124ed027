// What keys were used for, by what decision logs say. Pure.

import { throughOf } from '../../keys/select.ts'
import type { PolicySet } from '../model/policy-set.ts'
import type { RecordedDecision } from '../replay/recorded-decision.ts'

export interface KeyUse {
  readonly permissions: Set<string>
  /** Organizations of organization operations. */
  readonly organizations: Set<string>
  /** Whether it served an operation of enterprise scope. */
  isEnterprise: boolean
  count: number
  lastUsedAt: string
}

const dayMs = 86_400_000

/** Counts the uses of the last days before the latest record. Records may come in any order. */
export class KeyUses {
  readonly #policy: PolicySet
  /** By the day of the record, so that the window can be laid when the last one is known. */
  readonly #days = new Map<number, Map<string, KeyUse>>()

  constructor(policy: PolicySet) {
    this.#policy = policy
  }

  add(record: RecordedDecision): void {
    const { key: id, operation: name, time, effect } = record
    if (effect !== 'allow' || typeof id !== 'string' || typeof name !== 'string' || !isUse(record)) return
    const day = Math.floor(Date.parse(time) / dayMs)
    const key = this.#policy.keys.find((each) => each.id === id)
    const operation = this.#policy.catalogue.operation(name)
    if (key === undefined || operation === null || Number.isNaN(day)) return
    const ofDay = this.#days.get(day) ?? new Map<string, KeyUse>()
    this.#days.set(day, ofDay)
    const use = ofDay.get(id) ?? newUse()
    ofDay.set(id, use)
    use.count += 1
    if (time > use.lastUsedAt) use.lastUsedAt = time
    const extra = record.extra_permissions ?? []
    for (const permission of throughOf(key, operation, extra, this.#policy.catalogue.permissions))
      use.permissions.add(permission)
    if (operation.scope === 'enterprise') use.isEnterprise = true
    if (operation.scope === 'organization') for (const each of record.organizations ?? []) use.organizations.add(each)
  }

  /** By key id, of the last so many days before `last`; keys without a use are absent. */
  within(days: number, last: string): ReadonlyMap<string, KeyUse> {
    const from = Math.floor((Date.parse(last) - days * dayMs) / dayMs)
    const sum = new Map<string, KeyUse>()
    for (const [day, uses] of this.#days) {
      if (day < from) continue
      for (const [id, use] of uses) {
        const all = sum.get(id) ?? newUse()
        sum.set(id, all)
        all.count += use.count
        all.isEnterprise ||= use.isEnterprise
        if (use.lastUsedAt > all.lastUsedAt) all.lastUsedAt = use.lastUsedAt
        for (const permission of use.permissions) all.permissions.add(permission)
        for (const organization of use.organizations) all.organizations.add(organization)
      }
    }
    return sum
  }
}

function newUse(): KeyUse {
  return { permissions: new Set(), organizations: new Set(), isEnterprise: false, count: 0, lastUsedAt: '' }
}

/** An allowed request that a limit or a missing key has stopped used no key. Records of earlier versions do not say. */
function isUse({ ended }: RecordedDecision): boolean {
  const how: unknown = ended === undefined ? undefined : Reflect.get(ended, 'how')
  const sent: unknown = ended === undefined ? undefined : Reflect.get(ended, 'sent')
  return typeof how !== 'string' || sent === true || how === 'cached' || how === 'replayed'
}
