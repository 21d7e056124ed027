// Runs in a thread of its own: reads and examines the policy directory, and hands over what it found, portion by portion as it
// is asked.

import { parentPort, workerData } from 'node:worker_threads'
import { compileCatalogue } from '../../catalogue/catalogue.ts'
import { devinApi } from '../../catalogue/data.ts'
import type { Extension } from '../../catalogue/extension.ts'
import type { Stability } from '../../catalogue/operation.ts'
import { hasErrors, readableDiagnostics, Refused, type Diagnostic } from '../../config/diagnostics.ts'
import { examinePolicies, type ExamineOptions } from '../../policy/loading/examine.ts'
import { portionsOf, type Portion } from './portions.ts'

/** Plain data. */
export interface ExaminationTask extends Pick<ExamineOptions, 'directory' | 'connections' | 'nowMs'> {
  readonly issuers: readonly string[]
  /** As it was read when the gateway was started. */
  readonly catalogue: { readonly stability: readonly Stability[]; readonly extensions: readonly Extension[] }
}

/** The answer to a request for the next portion. */
export type ExaminationAnswer = { readonly refused: readonly Diagnostic[] } | Portion

async function* examine({ catalogue: parts, ...options }: ExaminationTask): AsyncGenerator<ExaminationAnswer, void> {
  const { catalogue } = compileCatalogue({ data: devinApi, ...parts })
  try {
    const examined = await examinePolicies({ ...options, catalogue })
    const { diagnostics, failures } = examined
    if (hasErrors([...diagnostics, ...failures])) throw new Refused([...diagnostics, ...failures])
    yield* portionsOf({ ...examined, diagnostics: readableDiagnostics(diagnostics) })
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    yield { refused: error.diagnostics }
  }
}

const answers = examine(workerData as ExaminationTask)
for await (const answer of answers) {
  parentPort?.postMessage(answer, [])
  const { promise, resolve } = Promise.withResolvers<void>()
  parentPort?.once('message', () => resolve())
  await promise
}
