// Finds one decision in logs of decision records.

import { counted } from '../../config/plural.ts'
import { parseObject } from '../../json/untyped.ts'
import { isRecordedDecision, type RecordedDecision } from '../../policy/replay/recorded-decision.ts'
import { readLogs } from './read-logs.ts'

interface Found extends RecordedDecision {
  readonly request_id?: string
}

/** What is taken for the beginning of an id. */
const idBeginning = /^[0-9a-f]{4,8}$|^[0-9a-f]{8}-[0-9a-f-]{0,27}$/
/** Most ids that are named where a beginning fits several. */
const mostNamed = 5

/**
 * The decision with this id, or with this request id (the last one of several), or the only one whose id begins so. Throws a
 * sentence where there is none.
 */
export async function findDecision(id: string, files: readonly string[]): Promise<RecordedDecision> {
  let lines = 0
  let byId: RecordedDecision | null = null
  let byRequest: RecordedDecision | null = null
  const begins = new Map<string, RecordedDecision>()
  const isBeginning = idBeginning.test(id)
  const look = (text: string): boolean => {
    lines += 1
    if (byId !== null || !text.includes(id)) return true
    const record = parsed(text)
    if (record?.decision_id === id) byId = record
    if (record?.request_id === id) byRequest = record
    if (isBeginning && begins.size <= mostNamed && record?.decision_id?.startsWith(id) === true)
      begins.set(record.decision_id, record)
    return true
  }
  await readLogs(files, process.stdin, { line: look, rest: look, gap: () => {}, progress: () => {} })
  const [only] = begins.values()
  const found = byId ?? byRequest ?? (begins.size === 1 ? only : null)
  if (found !== null && found !== undefined) return found
  if (begins.size > 1) {
    const more = begins.size > mostNamed ? ' and more' : ''
    const ids = [...begins.keys()].slice(0, mostNamed).join(', ')
    throw new Error(`several decisions begin with ${JSON.stringify(id)}: ${ids}${more}. Write more of the id`)
  }
  throw new Error(
    `no decision ${JSON.stringify(id)} in ${counted(lines, 'line')} of ${files.join(', ')}. Its id is in the Gateway-Decision field of the answer; say every log file, rotated ones too`,
  )
}

/** The decision record of a line; null for an access record, a line of something else, or half a line. */
function parsed(line: string): Found | null {
  const value = parseObject(line)
  return isRecordedDecision(value) ? value : null
}
