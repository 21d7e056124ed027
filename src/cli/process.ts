// Ends the process: a serving one on a signal, on a second one, or on an uncaught error; any other on an uncaught error.

import { whyUnreadable } from '../config/values/file-errors.ts'
import type { Log } from '../records/log.ts'
import { printable } from '../records/mask.ts'

/** A gateway, or the parent of several workers. */
export interface Service {
  /** Lets requests under way finish, and stops. */
  drain(): Promise<void>
  /** Cuts what is under way, and resolves when it is recorded. */
  cut(): Promise<void>
}

export interface EndOptions {
  readonly log: Log
  /** A drain that takes longer is ended by a cut. */
  readonly drainMs: number
  /** False where another process handles the signals. */
  readonly signals?: boolean
}

export interface Ending {
  /** Resolves with the exit code when the service has ended. */
  watch(service: Service): Promise<number>
  /** Ends the service as the first signal does. */
  stop(): void
  /** Ends it as the second signal does. */
  cut(): void
}

/** Time for writing the last records once everything was cut. */
const cutMs = 2_000
/** An error that repeats with every request would fill the log while the instance drains. */
const mostLogged = 10

/**
 * From now on nothing that the process writes about its own end holds a secret: neither Node's report, which would list the
 * environment, nor the message of an error that nobody caught.
 */
export function guardCrashes(): void {
  if (process.report !== undefined) process.report.excludeEnv = true
  process.on('uncaughtException', endByDefect)
}

/** From now on output that cannot be written ends the process, with a sentence. */
export function guardOutput(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that closes the pipe early (`devin-gateway keys | head`) is no failure.
    if (error.code === 'EPIPE') process.exit(0)
    const text = `devin-gateway: standard output cannot be written: ${whyUnreadable(error)}\n`
    process.stderr.write(text, () => process.exit(1))
  })
  // An error of stderr cannot be reported anywhere.
  process.stderr.on('error', () => {})
}

/** Node itself would write the message and the causes, which may quote a key. */
function endByDefect(error: unknown): void {
  const text = `devin-gateway: a defect that nobody caught; please report it: ${JSON.stringify(printable(error)) ?? 'undefined'}\n`
  process.stderr.write(text, () => process.exit(1))
}

/**
 * From now on an uncaught error is logged in one line, and the service drains and ends with 1, so that it is
 * replaced. Before there is a service the process ends at once.
 */
export function createEnding({ log, drainMs, signals = true }: EndOptions): Ending {
  let service: Service | null = null
  let finish: (code: number) => void = () => {}
  let fail: (error: unknown) => void = () => {}
  let code = 0
  let ending = false
  let signalled = false
  let defects = 0

  function drain(): void {
    if (ending || service === null) return
    ending = true
    setTimeout(cut, drainMs).unref()
    service.drain().then(
      // State that an uncaught error left behind may keep the process from ending by itself.
      () => (code === 0 ? finish(code) : process.exit(code)),
      (error: unknown) => fail(error),
    )
  }
  /** Pending lines are written on exit. */
  function cut(): void {
    const exit = (): never => process.exit(1)
    setTimeout(exit, cutMs)
    void (service?.cut() ?? Promise.resolve()).then(exit, exit)
  }
  function stop(): void {
    if (signalled) cut()
    signalled = true
    drain()
  }

  process.off('uncaughtException', endByDefect)
  process.on('uncaughtException', (error, origin) => {
    defects += 1
    if (defects <= mostLogged)
      log.error(
        { event: 'crash', origin, error },
        'a defect of the gateway that nobody caught: the instance drains and ends, to be replaced',
      )
    code = 1
    if (service === null) process.exit(1)
    drain()
  })
  return {
    watch(serves) {
      service = serves
      if (signals) for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop)
      return new Promise((resolve, reject) => {
        finish = resolve
        fail = reject
      })
    },
    stop,
    cut,
  }
}
