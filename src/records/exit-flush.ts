// Writers that write what still waits when the process exits without closing them. Used by line-writer.ts.

/** What a writer offers for it. */
interface Flushable {
  /** Writes synchronously; must not throw. */
  flushNow(): void
}

// One listener for the process, however many writers there are: Node warns at eleven.
const writers = new Set<Flushable>()

function flushAll(): void {
  for (const writer of writers) writer.flushNow()
}

/** From now on until it is forgotten. */
export function flushAtExit(writer: Flushable): void {
  if (writers.size === 0) process.on('exit', flushAll)
  writers.add(writer)
}

export function forgetAtExit(writer: Flushable): void {
  writers.delete(writer)
  if (writers.size === 0) process.off('exit', flushAll)
}
