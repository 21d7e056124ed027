// The log of a sandbox on a terminal: sentences instead of JSON, and only what somebody who tries policies has to know.

import { forPeople } from '../style.ts'

interface Line {
  readonly level: string
  readonly event?: string | undefined
  readonly msg: string
  readonly revision?: string
  readonly diagnostics?: readonly string[]
}

/** Takes lines of the process log and writes sentences to a stream. */
export function plainLog(stream: NodeJS.WritableStream): { write(line: string): void } {
  const warned = new Set<string>()
  return {
    write(line) {
      // A line of our own log.
      const { event, msg, ...others } = JSON.parse(line) as Line
      if (event === 'policy-warning') {
        // Every set in force repeats its warnings.
        if (warned.has(msg)) return
        warned.add(msg)
      }
      const said = sentenceOf({ event, msg, ...others })
      if (said !== null) stream.write(`${forPeople(said)}\n`)
    },
  }
}

function sentenceOf({ level, event, msg, revision = '', diagnostics = [] }: Line): string | null {
  if (event === 'policies-replaced') return `The changed policies are in force, revision ${revision}.`
  if (event === 'policies-refused' || event === 'policies-held')
    return refusalOf(`The changed policies are refused. Revision ${revision} stays in force.`, diagnostics)
  if (event === 'shadow-policies-replaced')
    return `The shadow set is decided beside the policies in force, revision ${revision}.`
  if (event === 'shadow-policies-refused')
    return refusalOf('The shadow set is refused. The policies in force go on as before.', diagnostics)
  if (level === 'info' || level === 'debug') return null
  return event === 'policy-warning' || event === 'catalogue-warning' ? msg : `${level}: ${msg}`
}

function refusalOf(verdict: string, diagnostics: readonly string[]): string {
  const reasons = diagnostics.filter((text) => !text.includes(': warning: '))
  const advice = reasons.some((text) => text.includes(': test failed: '))
    ? ['A policy test expects something else. If the change is intended, change the test too.']
    : []
  return [verdict, ...reasons.map((text) => `  ${text}`), ...advice].join('\n')
}
