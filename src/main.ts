// The process entry: arguments in, exit code out.

import { run } from './cli/command.ts'
import { guardCrashes } from './cli/process.ts'

guardCrashes()

// A reader that closes the pipe early (`devin-gateway keys | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
// An error of stderr cannot be reported anywhere.
process.stderr.on('error', () => {})

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  out: process.stdout,
  err: process.stderr,
  input: process.stdin,
})
