// `sandbox` and `token`: the gateway on one machine with nothing else installed, and a token to call it with.

import { join } from 'node:path'
import { Refused } from '../../config/diagnostics.ts'
import { parseDuration } from '../../config/units.ts'
import { Problem } from '../../problems.ts'
import { createLog } from '../../records/log.ts'
import { sandboxStateDirectory, signSandboxToken } from '../../sandbox/issuer.ts'
import { startSandbox, type Sandbox } from '../../sandbox/sandbox.ts'
import type { Command, Invocation } from '../invocation.ts'
import { createEnding } from '../process.ts'
import { callerFrom, callerOptions, loadSetup, packageRoot, packageVersion } from '../setup.ts'
import { painter } from '../style.ts'
import { UsageError } from '../usage.ts'

/** Longer than a drain of the sandbox should take. */
const drainMs = 60_000
const sampleConfig = join(packageRoot, 'config', 'gateway.yaml')

export const sandboxCommand: Command = {
  usage: 'sandbox [--port 8080] [--admin-port 9090]',
  summary: 'run the gateway with a simulator of the Devin API and an SSO issuer; prints requests to paste',
  positionals: 0,
  options: {
    port: { type: 'string', help: "callers' listener on 127.0.0.1 (default: 8080)" },
    'admin-port': { type: 'string', help: "operators' listener on 127.0.0.1 (default: 9090)" },
    config: { type: 'string', help: 'configuration to run instead of the sample' },
  },
  async run(invocation) {
    const log = createLog({ level: 'warn', ownErrors: [Problem, Refused] })
    const ending = createEnding({ log, drainMs })
    const sandbox = await startSandbox({
      configFile: invocation.option('config') ?? sampleConfig,
      host: '127.0.0.1',
      port: portOf(invocation, 'port', 8080),
      adminPort: portOf(invocation, 'admin-port', 9090),
      env: invocation.env,
      log,
      version: packageVersion(),
    })
    invocation.print(invocation.json ? JSON.stringify(addresses(sandbox)) : banner(invocation, sandbox))
    process.on('SIGHUP', () => void sandbox.gateway.reload('SIGHUP'))
    const code = await ending.watch(sandbox.gateway)
    await sandbox.close()
    return code
  },
}

export const tokenCommand: Command = {
  usage: 'token --team T [--sub S] [--app A] [--actor A] [--group G]… [--ttl 1h]',
  summary: 'a token of the sandbox issuer, alone on standard output',
  positionals: 0,
  options: { ...callerOptions, ttl: { type: 'string', help: 'lifetime (default: 1h)' } },
  async run(invocation) {
    if (
      invocation.option('team') === null &&
      invocation.list('group').length === 0 &&
      invocation.option('app') === null
    ) {
      throw new UsageError('say whose token: --team payments')
    }
    const { loaded } = await loadSetup({
      ...invocation,
      option: (name) => (name === 'config' ? sampleConfig : invocation.option(name)),
    })
    const caller = callerFrom(invocation, loaded.policy)
    const token = await signSandboxToken(
      await sandboxStateDirectory(invocation.env),
      {
        sub: caller.subject,
        email: caller.email ?? `${caller.subject}@corp.example`,
        groups: caller.groups ?? [],
        app: caller.app ?? null,
        actor: caller.actor ?? null,
        ttlSeconds: ttlOf(invocation),
      },
      Date.now(),
    )
    invocation.print(invocation.json ? JSON.stringify({ token }) : token)
    return 0
  },
}

function portOf(invocation: Invocation, name: string, fallback: number): number {
  const text = invocation.option(name)
  if (text === null) return fallback
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65535) throw new UsageError(`--${name} takes a port number, not "${text}"`)
  return port
}

function ttlOf(invocation: Invocation): number {
  const text = invocation.option('ttl') ?? '1h'
  const parsed = parseDuration(text)
  if ('error' in parsed) throw new UsageError(`--ttl: ${parsed.error}`)
  if (parsed.value < 1000) throw new UsageError(`--ttl: a token lives at least 1s, not ${text}`)
  return Math.floor(parsed.value / 1000)
}

function addresses({ gateway, scheme, simulator, issuer, directory }: Sandbox): Record<string, string> {
  return {
    gateway: `${scheme}://127.0.0.1:${gateway.gateway.port}`,
    admin: `http://127.0.0.1:${gateway.admin.port}`,
    upstream: simulator.origin,
    issuer: issuer.origin,
    records: join(directory, 'records'),
  }
}

function banner(invocation: Invocation, sandbox: Sandbox): string {
  const paint = painter(invocation.out, invocation.env)
  const at = addresses(sandbox)
  const base = `${at['gateway'] ?? ''}/v3/organizations`
  const auth = '-H "Authorization: Bearer $TOKEN"'
  return `${paint('bold', 'devin-gateway sandbox')}: the real gateway, a simulated Devin API, an SSO issuer of its own

  callers       ${at['gateway'] ?? ''}
  operators     ${at['admin'] ?? ''}   (/readyz, /metrics, /api/status, /api/keys)
  Devin API     ${at['upstream'] ?? ''}   (simulated)
  SSO issuer    ${at['issuer'] ?? ''}
  records       ${at['records'] ?? ''}

Paste into another terminal, in this folder. First a token, as a developer of the payments team has it:

  TOKEN=$(npx devin-gateway token --team payments)

${paint('green', 'allowed')}: the least powerful key that can list sessions is swapped in

  curl -i "${base}/org-payments/sessions?first=1" ${auth}

${paint('red', 'denied')}: another team's organization, with the reason and a decision id

  curl -i ${base}/org-research/sessions ${auth}

${paint('yellow', 'cached')}: the same question again within its lifetime costs no call upstream; see Cache-Status

  curl -i "${base}/org-payments/playbooks" ${auth}
  curl -i "${base}/org-payments/playbooks" ${auth}

${paint('red', 'bounded')}: granted, and a guardrail bounds what a session may cost

  curl -i ${base}/org-payments/sessions ${auth} \\
    -H "Content-Type: application/json" -d '{"prompt":"Migrate everything","max_acu_limit":500}'

And why something is allowed or denied, and what would be nearest:

  npx devin-gateway explain --team payments GET /v3/organizations/org-research/sessions

Ctrl-C stops everything.`
}
