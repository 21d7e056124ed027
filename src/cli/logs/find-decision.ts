// Finds one decision in logs of decision records.

import { counted } from '../../config/plural.ts'
import type { RecordedDecision } from '../../policy/replay/recorded-decision.ts'
import { isRecordedDecision } from '../../policy/replay/recorded-decision.ts'
import { readLogs } from './read-logs.ts'

interface Found extends RecordedDecision {
  readonly request_id?: string
}

/** The decision with this id, or with this request id (the last one of several). Throws a sentence where there is none. */
export async function findDecision(id: string, files: readonly string[]): Promise<RecordedDecision> {
  let lines = 0
  let byId: RecordedDecision | null = null
  let byRequest: RecordedDecision | null = null
  const look = (text: string): boolean => {
    lines += 1
    if (byId !== null || !text.includes(id)) return true
    const record = parsed(text)
    if (record?.decision_id === id) byId = record
    if (record?.request_id === id) byRequest = record
    return true
  }
  await readLogs(files, process.stdin, { line: look, rest: look, gap: () => {}, progress: () => {} })
  const found = byId ?? byRequest
  if (found !== null) return found
  throw new Error(
    `no decision ${JSON.stringify(id)} in ${counted(lines, 'line')} of ${files.join(', ')}. Its id is in the Gateway-Decision field of the answer; say every log file, rotated ones too`,
  )
}

/** The decision record of a line; null for an access record, a line of something else, or half a line. */
function parsed(line: string): Found | null {
  try {
    const value: unknown = JSON.parse(line)
    return isRecordedDecision(value) ? value : null
  } catch {
    return null
  }
}
