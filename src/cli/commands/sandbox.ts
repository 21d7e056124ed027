// `sandbox` and `token`: the gateway on one machine with nothing else installed, and a token to call it with.

import { join } from 'node:path'
import { requireKnown, unknownNotes } from '../callers/known.ts'
import { Refused } from '../../config/diagnostics.ts'
import { parseDuration } from '../../config/units.ts'
import { Problem } from '../../problems.ts'
import { createLog } from '../../records/log.ts'
import { loadSandboxConfig, noSurroundings } from '../../sandbox/configuration.ts'
import { signSandboxToken } from '../../sandbox/issuer.ts'
import { startSandbox } from '../../sandbox/sandbox.ts'
import { runningSandboxes, sandboxStateDirectory } from '../../sandbox/state-folder.ts'
import type { Command, Invocation } from '../invocation.ts'
import { createEnding } from '../process.ts'
import { addressesOf, bannerOf } from '../sandbox/banner.ts'
import { plainLog } from '../sandbox/plain-log.ts'
import { firstRequests } from '../sandbox/requests.ts'
import { callerFrom, callerOptions } from '../callers/caller.ts'
import { loadSetup, packageRoot, packageVersion } from '../setup.ts'
import { UsageError } from '../usage.ts'

/** Longer than a drain of the sandbox should take. */
const drainMs = 60_000
const sampleConfig = join(packageRoot, 'config', 'gateway.yaml')

export const sandboxCommand: Command = {
  usage: 'sandbox [--config F] [--port 8080] [--admin-port 9090]',
  summary: 'run the gateway with a simulator of the Devin API and an SSO issuer; prints requests to paste',
  positionals: 0,
  options: {
    config: { type: 'string', help: 'your configuration, with its policies (default: the sample)' },
    port: { type: 'string', help: "callers' listener on 127.0.0.1 (default: 8080)" },
    'admin-port': { type: 'string', help: "operators' listener on 127.0.0.1 (default: 9090)" },
  },
  async run(invocation) {
    const { json, env, err } = invocation
    const log = json
      ? createLog({ level: 'warn', ownErrors: [Problem, Refused] })
      : createLog({ level: 'info', ownErrors: [Problem, Refused], destination: plainLog(err) })
    const ending = createEnding({ log, drainMs })
    const own = invocation.option('config')
    const sandbox = await startSandbox({
      configFile: own ?? sampleConfig,
      bare: own !== null,
      host: '127.0.0.1',
      port: portOf(invocation, 'port', 8080),
      adminPort: portOf(invocation, 'admin-port', 9090),
      env,
      log,
      version: packageVersion(),
    }).catch((error: unknown) => {
      if (!(error instanceof Error) || !error.message.includes('another process uses the port')) throw error
      throw new Error(`${error.message}: --port 8081 --admin-port 9091, or 0 for free ones`, { cause: error })
    })
    if (json) invocation.print(JSON.stringify(addressesOf(sandbox)))
    else {
      const policy = sandbox.gateway.policy()
      const requests = firstRequests(policy, (team) => callerFrom(memberOf(invocation, team), policy, []))
      invocation.printText(bannerOf(sandbox, requests, own, invocation.paint))
    }
    process.on('SIGHUP', () => void sandbox.gateway.reload('SIGHUP'))
    const code = await ending.watch(sandbox.gateway)
    await sandbox.close()
    return code
  },
}

export const tokenCommand: Command = {
  usage: 'token --team T [--sub S] [--app A] [--actor A] [--group G]… [--ttl 1h] [--config F]',
  summary: 'print a token of the sandbox issuer, and nothing else, to standard output',
  positionals: 0,
  options: {
    ...callerOptions,
    ttl: { type: 'string', help: 'lifetime (default: 1h, or less where the issuer allows less)' },
    config: { type: 'string', help: 'configuration that the sandbox runs (default: the one that was started last)' },
  },
  async run(invocation) {
    const { env } = invocation
    if (
      invocation.option('team') === null &&
      invocation.list('group').length === 0 &&
      invocation.option('app') === null
    ) {
      throw new UsageError('say whose token: --team payments')
    }
    const file = invocation.option('config') ?? runningSandboxes(env)[0]?.config ?? sampleConfig
    const { config, loaded } = await loadSetup(
      { ...invocation, option: (name) => (name === 'config' ? file : invocation.option(name)) },
      { read: () => loadSandboxConfig(file, env, noSurroundings), tests: 'ignored' },
    )
    const named = invocation.option('issuer')
    if (named !== null)
      requireKnown(
        'issuer',
        named,
        config.issuers.map(({ issuer }) => issuer),
      )
    const caller = callerFrom(invocation, loaded.policy, config.issuers)
    for (const text of unknownNotes(invocation, loaded.policy)) invocation.tell(`note: ${text}`)
    // A configuration without an issuer is refused when it is read.
    const issuer = config.issuers.find((each) => each.issuer === caller.issuer) ?? config.issuers[0]
    const token = await signSandboxToken(
      await sandboxStateDirectory(env),
      {
        sub: caller.subject,
        email: caller.email ?? (caller.subject.includes('@') ? caller.subject : `${caller.subject}@corp.example`),
        groups: caller.groups ?? [],
        app: caller.app ?? null,
        actor: caller.actor ?? null,
        ttlSeconds: ttlOf(invocation, issuer?.maxLifetimeMs ?? Infinity),
        issuer,
        others: caller.claims,
      },
      Date.now(),
    )
    invocation.print(invocation.json ? JSON.stringify({ token }) : token)
    return 0
  },
}

/** The same command line, asking about a member of a team. */
function memberOf(invocation: Invocation, team: string): Invocation {
  return { ...invocation, option: (name) => (name === 'team' ? team : null), list: () => [] }
}

function portOf(invocation: Invocation, name: string, fallback: number): number {
  const text = invocation.option(name)
  if (text === null) return fallback
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65535) throw new UsageError(`--${name} takes a port number, not "${text}"`)
  return port
}

function ttlOf(invocation: Invocation, mostMs: number): number {
  const text = invocation.option('ttl')
  if (text === null) return Math.floor(Math.min(3_600_000, mostMs) / 1000)
  const parsed = parseDuration(text)
  if ('error' in parsed) throw new UsageError(`--ttl: ${parsed.error}`)
  if (parsed.value < 1000) throw new UsageError(`--ttl: a token lives at least 1s, not ${text}`)
  return Math.floor(parsed.value / 1000)
}
