// The process entry: arguments in, exit code out.

import { run } from './cli/command.ts'

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  out: process.stdout,
  err: process.stderr,
})
