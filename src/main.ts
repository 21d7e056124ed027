// The process entry: arguments in, exit code out.

import { run } from './cli/command.ts'
import { guardCrashes, guardOutput } from './cli/process.ts'

guardCrashes()

guardOutput()

const leaveMs = 200

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  out: process.stdout,
  err: process.stderr,
  input: process.stdin,
  leave,
})

/**
 * What holds a thread, such as a lookup that no server answers or a pipe that nobody writes to, would hold up the end of the
 * process as well. Another program in its place has no such thread.
 */
function leave(code: number): void {
  setTimeout(() => {
    process.execve?.(process.execPath, [process.execPath, '-e', `process.exit(${code})`], {})
    process.exit(code)
  }, leaveMs).unref()
}
