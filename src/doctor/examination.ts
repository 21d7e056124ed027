// Runs examinations side by side, each with a time of its own, so that none holds up another. Nothing that they say holds a secret.

import { maskSecrets } from '../records/mask.ts'
import { Findings, type Area, type Finding } from './finding.ts'

export interface Examination {
  readonly area: Area
  readonly about: string | null
  /** Beyond the time that each examination has. */
  readonly moreMs?: number
  /** Aborts a moment before the time is over, so that an examination can say itself what gave no answer. */
  examine(found: Findings, signal: AbortSignal): void | Promise<void>
}

export interface Examined {
  readonly area: Area
  readonly about: string | null
  readonly findings: readonly Finding[]
}

/** Time to put an aborted wait into words. */
const lastWordsMs = 500

/**
 * Never rejects: what goes wrong is a finding. What is not done in time is given up, and what it has found until then counts; it may
 * still be under way afterwards.
 */
export async function runExamination(
  { area, about, examine, moreMs = 0 }: Examination,
  eachMs: number,
): Promise<Examined> {
  const withinMs = eachMs + moreMs
  const found = new Findings(area, about)
  const subject = about ?? `the ${area}`
  const deadline = new AbortController()
  const signal = setTimeout(() => deadline.abort(), withinMs)
  let giveUp: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    giveUp = setTimeout(resolve, withinMs + lastWordsMs, 'late')
  })
  const ended = Promise.resolve()
    .then(() => examine(found, deadline.signal))
    .catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error)
      found.error('failed', `The examination of ${subject} failed: ${why}.`, 'Report it, with this line.')
    })
  const first = await Promise.race([ended, late])
  clearTimeout(signal)
  clearTimeout(giveUp)
  if (first === 'late') {
    const seconds = Math.round(withinMs / 100) / 10
    found.error(
      'late',
      `The examination of ${subject} was not done within ${seconds} s.`,
      'Find out what holds it up, or give it longer with --timeout.',
    )
  }
  return { area, about, findings: found.list.map(withoutSecrets) }
}

/** Servers and libraries are quoted, and may quote what they were given. */
function withoutSecrets({ about, message, action, ...finding }: Finding): Finding {
  return {
    ...finding,
    about: about === null ? null : maskSecrets(about),
    message: maskSecrets(message),
    action: action === null ? null : maskSecrets(action),
  }
}
