// Lines of the enterprise's audit log, as far as service users have left them.

import type { AuditLine } from '../../keys/copies/foreign-uses.ts'
import { memberOf } from '../../json/untyped.ts'
import type { OwnCalls } from './own-calls.ts'

const pageSize = 200
const maxPages = 100
/** More lines in one reading are not read. */
export const mostAuditLines = pageSize * maxPages

/** Gives every line between two times to `take`, the oldest first, and says whether it came to the end. */
export async function readAuditLines(
  calls: Pick<OwnCalls, 'read'>,
  fromMs: number,
  toMs: number,
  take: (line: AuditLine) => void,
): Promise<'read' | 'too-long' | 'unreadable'> {
  const query: [string, string][] = [
    ['first', String(pageSize)],
    ['order', 'asc'],
    ['time_after', String(Math.floor(fromMs / 1000))],
    ['time_before', String(Math.ceil(toMs / 1000))],
  ]
  let cursor: string | null = null
  for (let pages = 0; pages < maxPages; pages++) {
    const answer = await calls.read('ent.audit-logs.list', {}, cursor === null ? query : [...query, ['after', cursor]])
    const value = answer === null || answer === 'absent' ? null : answer.value
    const items = memberOf(value, 'items')
    if (!Array.isArray(items)) return 'unreadable'
    for (const item of items) {
      const line = lineOf(item)
      if (line !== null) take(line)
    }
    if (memberOf(value, 'has_next_page') !== true) return 'read'
    const next = memberOf(value, 'end_cursor')
    if (typeof next !== 'string') return 'unreadable'
    cursor = next
  }
  return 'too-long'
}

/** Null for what a person has done, and for a form that the API does not document. */
function lineOf(value: unknown): AuditLine | null {
  const [id, serviceUser, action] = ['audit_log_id', 'service_user_id', 'action'].map((name) => memberOf(value, name))
  const createdAt = memberOf(value, 'created_at')
  if (typeof id !== 'string' || typeof serviceUser !== 'string' || typeof action !== 'string') return null
  // An upstream may repeat a key anywhere.
  if (id.length > 200 || id.includes('cog_')) return null
  if (typeof createdAt !== 'number' || !Number.isFinite(createdAt)) return null
  const organization = memberOf(value, 'org_id')
  return {
    id,
    serviceUser,
    action,
    organization: typeof organization === 'string' && /^[\w-]{1,100}$/.test(organization) ? organization : null,
    atMs: createdAt * 1000,
    session: textIn(memberOf(value, 'data'), 'session_id') ?? textIn(value, 'session_id'),
    address: addressIn(value) ?? addressIn(memberOf(value, 'data')),
  }
}

function textIn(value: unknown, name: string): string | null {
  const found = memberOf(value, name)
  return typeof found === 'string' ? found : null
}

/** The reference names no member for it; logs of this kind call it so. */
function addressIn(value: unknown): string | null {
  for (const name of ['ip_address', 'ip', 'source_ip', 'client_ip', 'remote_ip']) {
    const found = memberOf(value, name)
    if (typeof found === 'string' && /^[\da-fA-F.:]{2,45}$/.test(found)) return found
  }
  return null
}
