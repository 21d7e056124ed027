// Audit logs, written by the API's own writes, and guardrail violations; both look back a hundred days at most.

import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, type Item, newId } from '../state/item.ts'
import { page, passes, windowOf, type Page } from '../http/pages.ts'
import { wrong } from '../http/answers.ts'
import type { State } from '../state/state.ts'

const MAX_DAYS = 100

/** The line a successful write leaves. */
export function auditEntry({ operation, owner, caller, seconds }: Call): Item {
  return {
    audit_log_id: newId('audit'),
    action: actionOf(operation.id),
    created_at: seconds,
    data: { operation: operation.id },
    org_id: owner === ENTERPRISE ? null : owner,
    user_id: null,
    user_email: null,
    service_user_id: caller.id,
    service_user_name: caller.name,
  }
}

/** `org.knowledge.notes.create` becomes `create_knowledge_note`. */
function actionOf(operationId: string): string {
  const parts = operationId.split('.').filter((part) => !['beta', 'org', 'ent'].includes(part))
  const verb = parts.pop() ?? ''
  return [verb, ...parts].join('_').replaceAll('-', '_').replace(/s$/, '')
}

/** Handlers of both lists at both scopes. */
export function auditHandlers(state: State): Handlers {
  const logs = (call: Call): Page<Item> =>
    newestFirst(
      call,
      state.auditLogs.filter((entry) => isVisible(call, entry) && passes(call, 'action', [String(entry['action'])])),
    )
  const violations = (call: Call): Page<Item> => {
    const all = state.everywhere('guardrail-violations').map(({ item }) => item)
    const asked = (item: Item, name: string): boolean => passes(call, name, [String(item[name])])
    return newestFirst(
      call,
      all.filter((item) => isVisible(call, item) && asked(item, 'session_id') && asked(item, 'guardrail_id')),
    )
  }
  return {
    'ent.audit-logs.list': logs,
    'ent.organizations.audit-logs.list': logs,
    'beta.ent.guardrail-violations.list': violations,
    'beta.ent.organizations.guardrail-violations.list': violations,
  }
}

function isVisible(call: Call, entry: Item): boolean {
  return call.owner === ENTERPRISE || entry['org_id'] === call.owner
}

function newestFirst(call: Call, entries: readonly Item[]): Page<Item> {
  const { after, before } = windowOf(call, { maxDays: MAX_DAYS })
  const order = call.query.get('order') ?? 'desc'
  if (order !== 'asc' && order !== 'desc') {
    throw wrong(['query', 'order'], "Input should be 'asc' or 'desc'", 'enum')
  }
  const within = entries.filter(
    (entry) => Number(entry['created_at']) >= after && Number(entry['created_at']) <= before,
  )
  const sorted = within
    .map((entry, index) => ({ entry, index }))
    .sort((a, b) => Number(a.entry['created_at']) - Number(b.entry['created_at']) || a.index - b.index)
  return page(
    call,
    (order === 'asc' ? sorted : sorted.reverse()).map(({ entry }) => entry),
  )
}
