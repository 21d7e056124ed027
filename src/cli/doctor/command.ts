// `doctor`: examines an installation, from this machine and by its addresses.

import { parseAuthorities } from '../../config/values/certificates.ts'
import { readText } from '../../config/values/files.ts'
import { parseDuration } from '../../config/units.ts'
import { examineInstallation } from '../../doctor/examine.ts'
import type { Command, Invocation } from '../invocation.ts'
import { operatorOption, operatorTokenVariable, readOperatorToken } from '../operators.ts'
import { configOption } from '../setup.ts'
import { UsageError } from '../usage.ts'
import { versionOf } from '../version.ts'
import { findInstallation } from './installation.ts'
import { countsOf, doctorLines, doctorView } from './report.ts'

const usualMs = 10_000
const [leastMs, mostMs] = [100, 300_000]

export const doctorCommand: Command = {
  usage: 'doctor [--config F] [--url URL]… [--ca FILE] [--timeout 10s] [--before-start] [--strict]',
  summary: 'examine an installation: what is wrong, and what to do',
  positionals: 0,
  options: {
    ...configOption,
    ...operatorOption,
    url: {
      type: 'string',
      multiple: true,
      help: 'address of a running gateway, of any of its listeners; repeat it for several instances',
    },
    ca: { type: 'string', help: 'PEM file of the CA certificates to trust at --url (default: those of the system)' },
    timeout: { type: 'string', help: 'how long one examination may take (default: 10s)' },
    'before-start': {
      type: 'boolean',
      help: 'the gateway is not started yet: nobody has to answer, and its ports have to be free',
    },
    strict: { type: 'boolean', help: 'a warning fails too' },
  },
  async run(invocation) {
    const withinMs = timeoutOf(invocation)
    const urls = urlsOf(invocation.list('url'))
    const ca = await authoritiesOf(invocation)
    const { env, option } = invocation
    const token = await readOperatorToken({ env, option })
    // Standard input can be read once.
    const asker = {
      env: token === null ? env : { ...env, [operatorTokenVariable]: token },
      option: (name: string) => (name === 'operator-token' ? null : option(name)),
    }
    const isBeforeStart = invocation.flag('before-start')
    const here = await findInstallation(invocation, asker, withinMs, {
      isRunning: !isBeforeStart,
      hasAddresses: urls.length > 0,
    })
    const version = versionOf(env)
    const outcome = await examineInstallation({
      ...here,
      isBeforeStart,
      outside: { urls: [...urls, ...here.sandbox.map((address) => new URL(address))], ca, token },
      version,
      env,
      withinMs,
    })
    const examined = [here.examined, ...outcome]
    const findings = examined.flatMap((each) => each.findings)
    const counts = countsOf(findings)
    const failed = counts.error > 0 || (invocation.flag('strict') && counts.warning > 0)
    if (invocation.json)
      invocation.print(
        JSON.stringify({
          ok: !failed,
          checked_at: new Date().toISOString(),
          ...version,
          config: here.file,
          counts,
          findings: doctorView(findings),
        }),
      )
    else for (const line of doctorLines(examined, invocation.paint)) invocation.print(line)
    const code = failed ? 1 : 0
    // A name that nobody resolves is asked for long after it was given up.
    invocation.leave?.(code)
    return code
  },
}

function timeoutOf({ option }: Invocation): number {
  const written = option('timeout')
  if (written === null) return usualMs
  const parsed = parseDuration(written)
  if ('error' in parsed) throw new UsageError(`--timeout: ${parsed.error}`)
  if (parsed.value < leastMs || parsed.value > mostMs)
    throw new UsageError(`--timeout takes 100ms to 5m, not "${written}"`)
  return parsed.value
}

function urlsOf(written: readonly string[]): readonly URL[] {
  return written.map((text) => {
    const url = URL.parse(text)
    if (url === null || !['http:', 'https:'].includes(url.protocol) || url.host === '')
      throw new UsageError(`--url takes an address like https://gateway.corp.example, not "${text}"`)
    if (url.username !== '' || url.password !== '')
      throw new UsageError('--url takes an address without a name or password')
    return new URL(url.origin)
  })
}

async function authoritiesOf({ option }: Invocation): Promise<string | null> {
  const file = option('ca')
  if (file === null) return null
  const text = await readText(file)
  const parsed = 'error' in text ? text : parseAuthorities(text.value)
  if ('error' in parsed) throw new Error(`--ca ${file}: ${parsed.error}`)
  return parsed.value
}
