// Which operations leave which action in the audit log of Devin. The API reference lists actions and does not say what leaves them, so
// an action is known only where its name says it. Pure.

import type { Operation } from '../../catalogue/operation.ts'

/** Verbs of actions by verbs of operations. */
const verbs: Readonly<Record<string, readonly string[]>> = {
  create: ['create'],
  start: ['create', 'start'],
  delete: ['delete'],
  update: ['update', 'edit'],
  replace: ['update', 'edit'],
  terminate: ['terminate'],
  archive: ['archive'],
}

/** Nouns of actions by nouns of operations, where they are called otherwise. */
const nouns: Readonly<Record<string, readonly string[]>> = {
  knowledge_note: ['knowledge', 'knowledge_note', 'note'],
  organization: ['org', 'organization'],
}

/** Operation ids by action; what is absent is not judged. */
export function operationsByAction(operations: readonly Operation[]): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>()
  for (const { id, method } of operations) {
    // The gateway itself makes and revokes keys; its own audit log holds that.
    if (method === 'GET' || id.includes('.api-keys.')) continue
    const parts = id.split('.').filter((part) => !['beta', 'ext', 'org', 'ent'].includes(part))
    const verb = parts.pop() ?? ''
    const noun = parts.join('_').replaceAll('-', '_').replace(/s$/, '')
    for (const eachVerb of verbs[verb] ?? [])
      for (const eachNoun of nouns[noun] ?? [noun]) {
        const action = `${eachVerb}_${eachNoun}`
        found.set(action, (found.get(action) ?? new Set()).add(id))
      }
  }
  return found
}
