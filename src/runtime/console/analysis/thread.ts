// Runs in a thread of its own what is computed from a whole policy set: the requests of callers do not wait for it.

import { basename, join, relative } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { loadCatalogue } from '../../../catalogue/load.ts'
import { loadPolicies } from '../../../policy/loading/load.ts'
import { comparePolicies } from '../../../policy/comparison/compare.ts'
import { changeSentences } from '../../../policy/comparison/report.ts'
import { matrixOf } from '../../../policy/matrix/matrix.ts'
import { whatWouldAllow } from '../../../policy/suggestion/what-would-allow.ts'
import type { AnalysisTask } from './task.ts'

async function answer({
  directory,
  files,
  catalogue: settings,
  issuers,
  nowMs,
  wanted,
}: AnalysisTask): Promise<unknown> {
  const { catalogue } = await loadCatalogue(settings)
  const loadFiles = (all: AnalysisTask['files']) =>
    loadPolicies({
      directory,
      files: all,
      catalogue,
      sources: { env: {}, origin: 'https://none.invalid' },
      // No secret is needed, and none is looked for.
      secrets: 'unopened',
      issuers,
      now: () => nowMs,
    })
  const load = (texts: ReadonlyMap<string, string>) =>
    loadFiles(files.map(({ name, text }) => ({ name, text: texts.get(join(directory, name)) ?? text })))
  const { policy } = await loadFiles(files)
  if (wanted.kind === 'matrix') return matrixOf(policy, 'covered')
  if (wanted.kind === 'changes') {
    const nameOf = (file: string): string => join(basename(directory), relative(directory, file))
    const { policy: before } = await loadFiles(wanted.before)
    const comparison = comparePolicies({ policy: before, nameOf }, { policy, nameOf })
    return { changes: changeSentences(comparison), notes: comparison.notes, undecided: comparison.undecided }
  }
  const texts = new Map(files.map(({ name, text }) => [join(directory, name), text]))
  return await whatWouldAllow({
    policy,
    record: wanted.record,
    textOf: (file) => texts.get(file) ?? '',
    nameOf: (file) => join(basename(directory), relative(directory, file)),
    load,
  })
}

parentPort?.postMessage(await answer(workerData as AnalysisTask), [])
