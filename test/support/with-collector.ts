// Runs a script in a process of its own, in which it may ask for collections: V8's flags are not changed in a process that runs tests.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** The JSON that the script prints. It is a module in JavaScript, with `gc` as a global function and `urlOf` for files of `src/`. */
export async function withCollector(script: string): Promise<unknown> {
  const beginning = `const urlOf = (file) => new URL(file, ${JSON.stringify(new URL('../../src/', import.meta.url))}).href\n`
  const flags = ['--expose-gc', '--max-semi-space-size=8', '--input-type=module', '-e', beginning + script]
  const { stdout } = await promisify(execFile)(process.execPath, flags)
  return JSON.parse(stdout)
}
