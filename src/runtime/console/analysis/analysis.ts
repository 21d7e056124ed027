// The matrix, what the last replacement changed, and what would allow a request, computed in a thread of their own, one after the other; answers are kept for a while.

import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { AllowingView, MatrixQuery, MatrixView, PolicyChangesView } from '../../../admin/console/analysis-view.ts'
import { QueryError } from '../../../admin/console/query.ts'
import type { RecordedDecision } from '../../../policy/replay/recorded-decision.ts'
import type { AllowingChanges } from '../../../policy/suggestion/what-would-allow.ts'
import type { Matrix } from '../../../policy/matrix/matrix.ts'
import type { PolicyText } from '../../../policy/loading/read-directory.ts'
import { compileCache } from '../../policies/loader.ts'
import type { ConsoleOptions } from '../console-options.ts'
import type { FoundDecision } from '../decisions/decisions.ts'
import type { AnalysisTask } from './task.ts'

const mostMs = 60_000
const mostWaiting = 4
const mostKept = 50
const memory = { maxOldGenerationSizeMb: 512 }

export function openAnalysis({ core }: Pick<ConsoleOptions, 'core'>) {
  const { config, log, now, policies } = core
  const kept = new Map<string, Promise<unknown>>()
  let latest: Promise<unknown> = Promise.resolve()
  let waiting = 0
  let running: Worker | null = null

  function compute(wanted: AnalysisTask['wanted']): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const task: AnalysisTask = {
        directory: config.policiesDirectory,
        files: policies.files,
        catalogue: config.catalogue,
        issuers: config.issuers.map(({ issuer }) => issuer),
        nowMs: now(),
        wanted,
      }
      const file = new URL(`thread${extname(import.meta.filename)}`, import.meta.url)
      const worker = new Worker(file, { workerData: task, env: compileCache(), resourceLimits: memory })
      running = worker
      const timer = setTimeout(() => void worker.terminate(), mostMs)
      worker.once('message', resolve)
      worker.on('error', reject)
      worker.once('exit', () => {
        clearTimeout(timer)
        running = null
        reject(new QueryError('It took too long, and was given up: ask with the command `matrix` or `explain`.', 503))
      })
    })
  }

  /** The same question about the same policies is computed once. */
  async function ask(key: string, wanted: AnalysisTask['wanted']): Promise<unknown> {
    const known = kept.get(key)
    if (known !== undefined) return await known
    if (waiting >= mostWaiting) throw new QueryError('Others are being answered: ask again in a moment.', 429)
    waiting += 1
    const answer = latest.then(() => compute(wanted))
    latest = answer.catch(() => {})
    const [oldest] = kept.keys()
    if (kept.size >= mostKept && oldest !== undefined) kept.delete(oldest)
    kept.set(key, answer)
    try {
      return await answer
    } catch (error) {
      kept.delete(key)
      if (!(error instanceof QueryError)) log.error({ event: 'defect', error }, 'the thread for policies failed')
      throw error
    } finally {
      waiting -= 1
    }
  }

  return {
    async matrix({ team, operation, organization, effect, limit }: MatrixQuery): Promise<MatrixView> {
      const { revision } = policies.current
      const found = (await ask(`matrix ${revision}`, { kind: 'matrix' })) as Matrix
      const rows = found.rows.filter(
        (row) =>
          (team === null || row.team === team) &&
          (operation === null || row.operation.split(' with ')[0] === operation) &&
          (organization === null || row.organizations.includes(organization)) &&
          (effect === null || row.effect === effect),
      )
      return {
        revision,
        cells: found.decided,
        undecided: found.undecided,
        found: rows.length,
        rows: rows.slice(0, limit),
      }
    },
    /** What the set in force changes against the one that it replaced. */
    async changes(): Promise<PolicyChangesView> {
      const { before, current, files } = policies
      if (before === null)
        throw new QueryError('The policies have not been replaced since the start of this instance.', 404)
      const wanted = { kind: 'changes', before: before.files } as const
      const found = await ask(`changes ${before.revision} ${current.revision}`, wanted)
      return {
        from: before.revision,
        to: current.revision,
        files: changedFiles(before.files, files),
        ...(found as Pick<PolicyChangesView, 'changes' | 'notes' | 'undecided'>),
      }
    },
    async whatWouldAllow({ entry }: FoundDecision): Promise<AllowingView> {
      const key = `${entry.decision_id} ${policies.current.revision}`
      const wanted = { kind: 'what-would-allow', record: entry as RecordedDecision } as const
      return { decision_id: entry.decision_id, ...((await ask(key, wanted)) as AllowingChanges) }
    },
    close: (): void => void running?.terminate(),
  }
}

function changedFiles(before: readonly PolicyText[], after: readonly PolicyText[]): PolicyChangesView['files'] {
  const [old, young] = [before, after].map((files) => new Map(files.map(({ name, text }) => [name, text])))
  const names = new Set([...before, ...after].map(({ name }) => name))
  return [...names].toSorted().flatMap((name) => {
    const [was, is] = [old?.get(name), young?.get(name)]
    if (was === is) return []
    return [{ name, change: was === undefined ? 'added' : is === undefined ? 'removed' : 'changed' }]
  })
}
