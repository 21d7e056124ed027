// Writers that write what still waits when the process exits without closing them.

interface ExitWriter {
  readonly isHeldUp: boolean
  /** Writes what the target takes without waiting; must not throw. */
  flush(): void
}

/** How long an exit waits for readers of full pipes. */
const mostWaits = 100
const waitMs = 10

// One listener for the process, however many writers there are: Node warns at eleven.
const writers = new Set<ExitWriter>()
const never = new Int32Array(new SharedArrayBuffer(4))

function flushAll(): void {
  for (let waits = 0; waits < mostWaits; waits++) {
    for (const writer of writers) writer.flush()
    if (![...writers].some((writer) => writer.isHeldUp)) return
    Atomics.wait(never, 0, 0, waitMs)
  }
}

/** From now on until it is forgotten. */
export function flushAtExit(writer: ExitWriter): void {
  if (writers.size === 0) process.on('exit', flushAll)
  writers.add(writer)
}

export function forgetAtExit(writer: ExitWriter): void {
  writers.delete(writer)
  if (writers.size === 0) process.off('exit', flushAll)
}
