// Which answers are merged of all workers, and how. Pure.

import {
  mergeAudits,
  mergeCaches,
  mergeDecisions,
  mergeNow,
  mergeSeries,
  mergeTeam,
  mergeTeams,
} from './merged-console.ts'
import { mergeKeyReports } from './merged-key-report.ts'
import { mergeKeys, mergeRotations } from './merged-keys.ts'
import { mergeShadow } from './merged-shadow.ts'
import type { UntypedObject as Json } from '../json/untyped.ts'

export type Merge = (answers: readonly Json[]) => unknown

const merges: Readonly<Record<string, Merge>> = {
  '/api/now': mergeNow,
  '/api/series': mergeSeries,
  '/api/teams': mergeTeams,
  '/api/cache': mergeCaches,
  '/api/audit': mergeAudits,
  '/api/keys': mergeKeys,
  '/api/keys/report': mergeKeyReports,
  '/api/rotations': mergeRotations,
  '/api/shadow': mergeShadow,
}

/** As the API has it without a limit. */
const usualLimit = 50

/** `first`: the first worker that knows it answers. Null: the answers are not merged here. */
export function mergeOf(method: string | undefined, path: string, url: string): Merge | 'first' | null {
  if (method !== 'GET') return null
  if (path.startsWith('/api/decisions/')) return 'first'
  if (path.startsWith('/api/teams/')) return mergeTeam
  if (path !== '/api/decisions') return merges[path] ?? null
  const limit = Number(new URL(url, 'http://workers.invalid').searchParams.get('limit') ?? usualLimit)
  return (answers) => mergeDecisions(answers, limit)
}

/** What reads files, or computes from a whole policy set. */
export function isSlow(url: string): boolean {
  return ['/api/decisions', '/api/matrix', '/api/policies/changes'].some((slow) => url.startsWith(slow))
}

interface AnswerOfWorker {
  readonly status: number
  readonly type: string
  readonly text: string
}

/** Status, type and text; null where no worker answers. A single decision is known to one of them, or stands in the files. */
export async function mergedAnswer<Worker>(
  merge: Merge | 'first',
  workers: readonly Worker[],
  ask: (workers: readonly Worker[]) => Promise<readonly AnswerOfWorker[]>,
): Promise<readonly [number, string, string] | null> {
  const answers: AnswerOfWorker[] = []
  if (merge === 'first')
    for (const worker of workers) {
      answers.push(...(await ask([worker])))
      if (answers.at(-1)?.status === 200) break
    }
  else answers.push(...(await ask(workers)))
  const good = answers.filter(({ status }) => status === 200)
  const [first] = good
  if (first === undefined || merge === 'first') {
    const only = first ?? answers[0]
    return only === undefined ? null : [only.status, only.type, only.text]
  }
  return [200, first.type, JSON.stringify(merge(good.map(({ text }) => JSON.parse(text) as Json)))]
}
