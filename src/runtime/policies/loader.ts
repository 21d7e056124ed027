// Loads policies beside requests: a thread reads and examines the files, and the event loop only compiles what is sound, in turns.

import { getCompileCacheDir } from 'node:module'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { LoadedCatalogue } from '../../catalogue/load.ts'
import { fileProblem, hasErrors, Refused } from '../../config/diagnostics.ts'
import type { Config } from '../../config/load.ts'
import { compileInSteps } from '../../policy/compile/compile.ts'
import {
  loadPolicies,
  openSecrets,
  comparedWith,
  type SecretOptions,
  type UsablePolicies,
} from '../../policy/loading/load.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { inTurns, type Steps } from '../../policy/model/steps.ts'
import type { Log } from '../../records/log.ts'
import { Received, type Handed } from './portions.ts'
import type { ExaminationAnswer, ExaminationTask } from './thread.ts'

export interface PolicyLoaderOptions extends SecretOptions {
  readonly directory: string
  readonly config: Pick<Config, 'store' | 'upstream' | 'issuers' | 'catalogue'>
  readonly catalogue: Pick<LoadedCatalogue, 'catalogue' | 'extensions'>
  readonly log: Log
}

export type PolicyLoader = ReturnType<typeof createPolicyLoader>

/** Files that need longer, or more memory, are no policies that anybody wrote. */
const mostMs = 120_000
const memory = { maxOldGenerationSizeMb: 1024 }

/** Loads a directory as often as it is asked. One at a time: the watcher of the files sees to that. */
export function createPolicyLoader(options: PolicyLoaderOptions) {
  const { directory, config, log, now = Date.now } = options
  const { catalogue, extensions } = options.catalogue
  const closed = new AbortController()
  const about = {
    directory,
    ...comparedWith(config),
  }

  async function load(): Promise<UsablePolicies> {
    const nowMs = now()
    const parts = { stability: config.catalogue.stability, extensions }
    const { documents, ...handed } = await examine({ ...about, catalogue: parts, nowMs })
    const { signal } = closed
    const mistakes: Parameters<typeof compileInSteps>[2] = []
    const whole = await inTurns(compileInSteps(documents, catalogue, mistakes), signal)
    if (hasErrors(mistakes))
      throw new Error('policies that a thread has found sound have mistakes', { cause: mistakes })
    const { keys } = documents
    const { secrets, diagnostics } = await openSecrets({ ...handed, policy: whole, keys, failures: [] }, options)
    return { ...handed, policy: await inTurns(whole.prepare(nowMs), signal), secrets, diagnostics }
  }

  function examine(task: ExaminationTask): Promise<Handed> {
    const { promise, resolve, reject } = Promise.withResolvers<Handed>()
    const file = new URL(`thread${extname(import.meta.filename)}`, import.meta.url)
    const worker = new Worker(file, { workerData: task, env: compileCache(), resourceLimits: memory })
    const received = new Received()
    const end = (): void => void worker.terminate()
    const timer = setTimeout(end, mostMs)
    closed.signal.addEventListener('abort', end)
    worker.on('message', (answer: ExaminationAnswer) => {
      if ('refused' in answer) reject(new Refused(answer.refused))
      else if (answer.list === null) resolve(received.get(answer.whole))
      else received.add(answer)
      worker.postMessage('next', [])
    })
    worker.on('error', (error: Error & { code?: string }) =>
      reject(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? tooMuch(directory) : error),
    )
    worker.once('exit', () => {
      clearTimeout(timer)
      closed.signal.removeEventListener('abort', end)
      reject(tooMuch(directory))
    })
    return promise
  }

  return {
    /** Before anybody is served: at once, on the event loop. Rejects with `Refused`. */
    loadFirst: (): Promise<UsablePolicies> => loadPolicies({ ...options, ...about, catalogue }),
    /** Rejects with `Refused`. */
    load,
    /** Makes what is in force after the next end of a right, before it is asked for. */
    prepare(steps: Steps<PolicySet>): void {
      inTurns(steps, closed.signal).catch((error: unknown) => {
        if (!closed.signal.aborted)
          log.error({ event: 'defect', error }, "preparing policies failed for a reason of the gateway's own")
      })
    },
    /** Gives up what is under way. */
    close: (): void => closed.abort(),
  }
}

/** All that a thread gets of the environment: where its modules lie compiled. */
export function compileCache(): Readonly<Record<string, string>> {
  const folder = getCompileCacheDir()
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder }
}

function tooMuch(directory: string): Refused {
  const message = `the policies need more than ${mostMs / 1000} s or ${memory.maxOldGenerationSizeMb} MiB to be read: look for a file that is much larger than the others`
  return new Refused([fileProblem(directory, message)])
}
