// One line in the log whenever the cache's standing among the instances changes, and a note for who asks. Used by runtime.ts.

import type { GroupState, Standing } from './standing.ts'

interface Log {
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
}

const texts: Readonly<Record<Standing, string>> = {
  together: 'the cache hears of the writes of all instances',
  cautious:
    'instances went missing and may be cut off: the cache has dropped everything, and keeps answers 30 s at most until they are back or ten minutes have passed',
  alone:
    'the cache hears of no other instance: it has dropped everything, and keeps answers 30 s at most until it does again',
}

export function reportStanding(log: Log, { standing, members, missing, reason }: GroupState): void {
  const fields = { event: 'cache-standing', standing, members, missing, reason }
  if (standing === 'together') log.info(fields, texts.together)
  else log.warn(fields, texts[standing])
}

/** What is not as it should be, as a sentence; null when all is well. */
export function noteOf({ standing, reason }: GroupState): string | null {
  if (standing === 'together') return null
  return reason === null ? texts[standing] : `${texts[standing]} (${reason})`
}
