// The operational log: JSON lines for the people who run the gateway, on stderr unless told otherwise. Not the access
// log. Everything printed goes through mask.ts.

import { pino } from 'pino'
import { LineWriter } from './line-writer.ts'
import { maskSecrets, printable, type OwnErrors } from './mask.ts'
import { visibleLines } from './visible.ts'

/** The least level that is printed. */
type PrintedLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** What belongs to a message. Values of members named like a secret are dropped; errors may stand anywhere. */
export type LogFields = Readonly<Record<string, unknown>>

export type Log = ReturnType<typeof createLog>

export interface LogOptions {
  /** The least level that is printed. */
  readonly level: PrintedLevel
  /** Takes whole lines; stderr when absent. */
  readonly destination?: { write(line: string): void }
  /** Classes of errors whose message is ours and may be printed, such as `Problem`. Of others it is dropped. */
  readonly ownErrors?: OwnErrors
}

/** Names that the line itself uses; fields with the same name get a trailing `_`. */
const reserved = new Set(['level', 'time', 'msg'])

/** Creates a log. Without a destination, lines go to stderr in the background; when the process exits, what waits is written. */
export function createLog({ level, destination, ownErrors = [] }: LogOptions) {
  // An error of the log itself cannot be reported anywhere.
  const writer =
    destination === undefined ? new LineWriter({ target: 'stderr', onTrouble: () => {}, flushMs: 0 }) : null
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // Pino's own serializer would bring back what `printable` took away.
      serializers: { err: (value: unknown) => value },
    },
    destination ?? { write: (line: string) => void writer?.write(line) },
  )

  const put =
    (method: 'debug' | 'info' | 'warn' | 'error') =>
    (fields: LogFields, message: string): void => {
      if (logger.isLevelEnabled(method))
        logger[method](membersOf(printable(fields, ownErrors)), visibleLines(maskSecrets(message)))
    }

  return {
    debug: put('debug'),
    info: put('info'),
    warn: put('warn'),
    error: put('error'),
    /** The code or sentence of why lines cannot be written now; null while they can. */
    fault: (): string | null => writer?.health().error ?? null,
    /** Waits until all lines are written. A log that cannot be written any more rejects. */
    close: async (): Promise<void> => writer?.close(),
  }
}

function membersOf(printed: unknown): Record<string, unknown> {
  // An Error or a string in place of fields is a mistake that should still show.
  if (typeof printed !== 'object' || printed === null || Array.isArray(printed)) return { fields: printed }
  return Object.fromEntries(
    Object.entries(printed).map(([name, value]) => [reserved.has(name) ? `${name}_` : name, value]),
  )
}
