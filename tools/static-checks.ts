// Runs the checks that need no test, side by side, and shows what each of them says when it has ended.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

const checks = ['types', 'lint', 'format:check']
const npm = process.env['npm_execpath']
if (npm === undefined) throw new Error('run it by npm: npm test')

/** Its output, and whether it has found nothing. */
async function run(check: string): Promise<boolean> {
  const child = spawn(process.execPath, [npm ?? '', 'run', '--silent', check], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'close') as Promise<[number | null]>
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  process.stdout.write(out + err)
  if (code !== 0) process.stderr.write(`npm run ${check} has found something\n`)
  return code === 0
}

const isFine = await Promise.all(checks.map(run))
process.exitCode = isFine.every(Boolean) ? 0 : 1
