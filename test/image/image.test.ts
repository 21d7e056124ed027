// The built image, as a container runtime would run it: read-only, as its user, without capabilities. Needs what
// tools/image/build.sh unpacks (GATEWAY_TEST_IMAGE names the folder); skipped elsewhere.

import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCommand, startGatewayProcess, type CommandOptions, type StartedGateway } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { createSite, type Site } from '../support/site.ts'
import { usualKeys } from '../support/start-gateway.ts'
import { fieldOf, startUpstream, type RecordingUpstream } from '../support/upstream.ts'

const folder = process.env['GATEWAY_TEST_IMAGE']
const repository = join(import.meta.dirname, '..', '..')
const runner = join(repository, 'tools', 'image', 'run.sh')
const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { version: string }

interface Settings {
  readonly User: string
  readonly Entrypoint: readonly string[]
  readonly Cmd: readonly string[]
  readonly Env: readonly string[]
  readonly Labels: Readonly<Record<string, string>>
  readonly StopSignal: string
  readonly WorkingDir: string
  readonly Healthcheck: { readonly Test: readonly string[] }
}

describe.skipIf(folder === undefined)('the image', () => {
  const root = join(folder ?? '', 'root')
  let settings: Settings
  let directory: string
  let logs: string
  let issuer: Issuer
  let upstream: RecordingUpstream
  let site: Site
  let gateway: StartedGateway | null = null

  /** How to run commands in the image: with its variables and, by default, its entry point. */
  function inImage(entryPoint: readonly string[] = settings.Entrypoint): CommandOptions {
    const variables = settings.Env.map((entry) => entry.split(/=(.*)/s).slice(0, 2))
    return {
      node: '/bin/bash',
      file: runner,
      before: [root, directory, logs, ...entryPoint],
      env: { ...(Object.fromEntries(variables) as Record<string, string>), ...usualKeys },
    }
  }

  beforeAll(async () => {
    settings = (JSON.parse(readFileSync(join(folder ?? '', 'image.json'), 'utf8')) as { Docker: { config: Settings } })
      .Docker.config
    directory = mkdtempSync(join(tmpdir(), 'gateway-image-'))
    logs = join(directory, 'logs')
    mkdirSync(logs)
    chownSync(logs, 10_001, 10_001)
    issuer = await startIssuer()
    upstream = await startUpstream()
    site = await createSite()
    cpSync(join(site.directory, 'policies'), join(directory, 'policies'), { recursive: true })
    mkdirSync(join(directory, 'config'))
    writeFileSync(
      join(directory, 'config', 'gateway.yaml'),
      `listen: { gateway: "127.0.0.1:0", admin: "127.0.0.1:0" }
upstream: { origin: "${upstream.origin}" }
issuers: [{ issuer: ${issuer.issuer}, audience: devin-gateway, jwks_uri: ${issuer.jwksUri} }]
policies: ../policies
records:
  access: \${GATEWAY_LOG_DIR}/access.ndjson
  decisions: \${GATEWAY_LOG_DIR}/decisions.ndjson
  audit: \${GATEWAY_LOG_DIR}/audit.ndjson
shutdown: { delay: 0s, deadline: 5s }
`,
    )
    chmodSync(directory, 0o755)
  })
  afterAll(async () => {
    await gateway?.kill()
    await issuer.stop()
    await upstream.close()
    await site.remove()
    rmSync(directory, { recursive: true, force: true })
  })

  test('says what it is, and what it is made of', () => {
    expect(settings.Labels).toMatchObject({
      'org.opencontainers.image.title': 'devin-gateway',
      'org.opencontainers.image.version': version,
      'org.opencontainers.image.licenses': 'Apache-2.0',
    })
    expect(settings.Labels['org.opencontainers.image.revision']).toMatch(/^[0-9a-f]{40}$/)
    expect([settings.User, settings.StopSignal]).toEqual(['10001:10001', 'SIGTERM'])
    const parts = JSON.parse(readFileSync(join(root, settings.WorkingDir, 'sbom.cdx.json'), 'utf8')) as {
      bomFormat: string
      metadata: { component: { name: string; version: string } }
      components: readonly { name: string; version: string; hashes?: readonly unknown[] }[]
    }
    expect(parts).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: 'devin-gateway', version } } })
    for (const { name, version: installed } of parts.components) {
      const manifest = readFileSync(join(root, settings.WorkingDir, 'node_modules', name, 'package.json'), 'utf8')
      expect((JSON.parse(manifest) as { version: string }).version, name).toBe(installed)
    }
    expect(parts.components.length).toBeGreaterThan(30)
    expect(parts.components.filter(({ hashes = [] }) => hashes.length === 0).map(({ name }) => name)).toEqual([])
  })

  test('is as large as the documentation says', () => {
    const measured = execFileSync('du', ['-sm', join(root, settings.WorkingDir)], { encoding: 'utf8' })
    const page = readFileSync(join(repository, 'docs', 'deployment.md'), 'utf8')
    const said = Number(/About (\d+) MB of the image are the gateway/.exec(page)?.[1])
    expect(Math.abs(Number.parseInt(measured, 10) - said)).toBeLessThanOrEqual(5)
  })

  test('holds neither tests nor development dependencies nor documents', () => {
    for (const name of ['test', 'docs', 'bench', 'node_modules/vitest', 'node_modules/typescript'])
      expect(existsSync(join(root, settings.WorkingDir, name)), name).toBe(false)
  })

  test('runs as its user without capabilities and cannot write but to its records', async () => {
    const script =
      'cat /proc/self/status; for d in . /etc /tmp /compile-cache; do touch $d/x 2>&1; done; touch /var/log/devin-gateway/x && echo written'
    const { out } = await runCommand(['-c', script], inImage(['/bin/sh']))
    expect(out).toMatch(/^Uid:\t10001\t10001\t10001\t10001$/m)
    expect(out).toMatch(/^Gid:\t10001\t10001\t10001\t10001$/m)
    expect(out.match(/^Cap(Prm|Eff|Bnd|Amb):\t0{16}$/gm)).toHaveLength(4)
    expect(out.match(/Read-only file system/g)).toHaveLength(4)
    expect(out).toContain('written')
  })

  test('checks a mounted configuration, and says its version and commit', async () => {
    expect(await runCommand(['check'], inImage())).toMatchObject({ code: 0 })
    const { out } = await runCommand(['--version'], inImage())
    expect(out).toContain(version)
    expect(out).toContain(settings.Labels['org.opencontainers.image.revision']?.slice(0, 7) ?? 'no revision')
  })

  test('serves a request from end to end, is healthy by its own check, and ends by SIGTERM', async () => {
    const started = await startGatewayProcess('/etc/devin-gateway/config/gateway.yaml', inImage())
    gateway = started
    const token = await issuer.sign({ groups: ['sso-payments-eng'] })
    const answer = await fetch(`http://127.0.0.1:${started.port}/v3/organizations/org-payments/sessions`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect([answer.status, await answer.text()]).toEqual([200, '{"items":[],"has_next_page":false}'])
    expect(fieldOf(upstream.seen[0], 'authorization')).toBe(`Bearer ${usualKeys['PAYMENTS_RUNNER_KEY']}`)

    const [kind, ...check] = settings.Healthcheck.Test
    expect(kind).toBe('CMD')
    const healthy = async (port: number): Promise<number | null> =>
      (
        await runCommand(
          check.slice(1).map((part) => part.replace('9090', String(port))),
          inImage(check.slice(0, 1)),
        )
      ).code
    expect(await healthy(started.adminPort)).toBe(0)
    started.signal(settings.StopSignal as NodeJS.Signals)
    expect(await started.ended).toMatchObject({ code: 0 })
    expect(await healthy(started.adminPort)).toBe(1)
    expect(readFileSync(join(logs, 'access.ndjson'), 'utf8')).toContain('"status":200')
  })
})
