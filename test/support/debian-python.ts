// A Python that has a module of Debian's: clients and servers of protocols that know nothing of us.

import { execFileSync } from 'node:child_process'
import { describe } from 'vitest'

/** The first Python that can import a module; null where none can. */
export function pythonWith(module: string): string | null {
  return (
    ['python3', '/usr/bin/python3'].find((program) => {
      try {
        execFileSync(program, ['-c', `import ${module}`], { stdio: 'ignore' })
        return true
      } catch {
        return false
      }
    }) ?? null
  )
}

/**
 * `describe` where some Python has the module. Where it must be there (`GATEWAY_TEST_PEERS=required`), its absence is a
 * failure.
 */
export function describeWithPython(module: string, debianPackage: string): typeof describe | typeof describe.skip {
  if (pythonWith(module) !== null) return describe
  if (process.env['GATEWAY_TEST_PEERS'] === 'required') throw new Error(`${debianPackage} is not installed`)
  process.stderr.write(`skipped: tests with ${debianPackage} need it, and it is not installed\n`)
  return describe.skip
}
