// The set for Docker Compose: as Compose itself reads it, and held against the image and the configuration that it names.

import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { callCommand } from '../support/command.ts'

const root = join(import.meta.dirname, '../..')
const folder = join(root, 'deploy/compose')
const text = readFileSync(join(folder, 'compose.yaml'), 'utf8')
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8')
const hasTool = spawnSync('docker-compose', ['version']).status === 0
if (!hasTool && process.env['GATEWAY_TEST_PEERS'] === 'required') throw new Error('docker-compose is not installed')
if (!hasTool) process.stderr.write('docker-compose is not installed: it does not read the Compose file\n')

const directory = mkdtempSync(join(tmpdir(), 'gateway-compose-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

interface Service {
  readonly image: string
  readonly build: string
  readonly read_only: boolean
  readonly user: string
  readonly cap_drop: readonly string[]
  readonly security_opt: readonly string[]
  readonly stop_grace_period: string
  readonly ports: readonly string[]
  readonly volumes: readonly string[]
}

const { services, volumes } = parse(text) as {
  readonly services: { readonly gateway: Service }
  readonly volumes: Readonly<Record<string, null>>
}
const { gateway } = services
const mounts = gateway.volumes.map((written) => {
  const [source = '', target = '', mode = 'rw'] = written.split(':')
  return { source, target, mode }
})

/** What the image says of itself: the values of its variables, and arguments of an instruction. */
function inImage(name: string): string {
  return (
    new RegExp(`^(?:ENV )? *${name}[= ](\\S+)`, 'm').exec(dockerfile.slice(dockerfile.lastIndexOf('\nFROM ')))?.[1] ??
    ''
  )
}

describe.skipIf(!hasTool)('Compose', () => {
  /** What it says of a file, whose folder is the one of the set. */
  function read(content: string): { status: number | null; said: string } {
    const file = join(directory, 'compose.yaml')
    writeFileSync(file, content)
    const { status, stderr } = spawnSync(
      'docker-compose',
      ['-f', file, '--project-directory', folder, 'config', '-q'],
      {
        encoding: 'utf8',
      },
    )
    return { status, said: stderr.trim() }
  }

  test('takes the file, which it would not with a key that it does not know', () => {
    expect(read(text)).toEqual({ status: 0, said: '' })
    expect(read(text.replace('read_only:', 'readonly:')).said).toContain('readonly')
    expect(read(text.replace('45s', '45 seconds')).status).not.toBe(0)
  })
})

test('the service is the image of this version, without rights, on the port that the image and the configuration have', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  expect(gateway).toMatchObject({
    image: `devin-gateway:${version}`,
    read_only: true,
    user: inImage('USER'),
    cap_drop: ['ALL'],
    security_opt: ['no-new-privileges:true'],
  })
  expect(existsSync(join(folder, gateway.build, 'Dockerfile'))).toBe(true)
  const config = parse(readFileSync(join(folder, 'gateway.yaml'), 'utf8')) as { listen: Record<string, string> }
  expect(gateway.ports).toEqual([`${inImage('EXPOSE')}:${inImage('EXPOSE')}`])
  expect(config.listen['gateway']).toBe(`0.0.0.0:${inImage('EXPOSE')}`)
  // Where the health check of the image asks.
  expect(dockerfile).toContain(`http://${config.listen['admin']}/livez`)
})

test('every mount has a source, and all but the records are read-only', () => {
  for (const { source, mode } of mounts)
    if (source.startsWith('.')) expect([existsSync(join(folder, source)), mode], source).toEqual([true, 'ro'])
    else expect([source in volumes, mode], source).toEqual([true, 'rw'])
  const [records] = mounts.filter(({ mode }) => mode === 'rw')
  expect(records?.target).toBe(inImage('GATEWAY_LOG_DIR'))
  expect(statSync(join(folder, 'keys')).isDirectory()).toBe(true)
})

test('the configuration lies where the image looks for it, passes check there, and names what is mounted', async () => {
  for (const { source, target } of mounts)
    if (source.startsWith('.')) cpSync(join(folder, source), join(directory, target), { recursive: true })
  const file = join(directory, inImage('GATEWAY_CONFIG'))
  expect(existsSync(file)).toBe(true)
  const checked = await callCommand(['check', '--config', file, '--json'])
  expect(checked).toMatchObject({ code: 0 })
  const { shutdown, records } = parse(readFileSync(file, 'utf8')) as {
    readonly shutdown?: { readonly deadline?: string }
    readonly records: Readonly<Record<string, unknown>>
  }
  // The defaults: a second, and half a minute.
  expect(shutdown).toBeUndefined()
  expect(Number.parseInt(gateway.stop_grace_period, 10)).toBeGreaterThan(31)
  const { keys } = parse(readFileSync(join(folder, 'policies/keys.yaml'), 'utf8')) as {
    readonly keys: readonly { readonly secret: { readonly file: string } }[]
  }
  const targets = mounts.map(({ target }) => `${target}/`)
  const named = [
    ...keys.map(({ secret }) => secret.file),
    ...Object.values(records).flatMap((each) => (typeof each === 'string' && each.startsWith('/') ? [each] : [])),
  ]
  expect(named.length).toBeGreaterThan(2)
  expect(named.filter((path) => !targets.some((target) => path.startsWith(target)))).toEqual([])
})

test('every variable of the gateway that a set or the image names is one that it reads', () => {
  const names = new Set(
    [
      'Dockerfile',
      'deploy/compose/compose.yaml',
      'deploy/systemd/devin-gateway.service',
      'deploy/kubernetes/base/deployment.yaml',
    ]
      .map((file) => readFileSync(join(root, file), 'utf8'))
      .flatMap((content) => content.match(/\bGATEWAY_[A-Z_]+/g) ?? []),
  )
  const read = spawnSync('grep', ['-rhoE', 'GATEWAY_[A-Z_]+', 'src', 'config/gateway.yaml'], {
    cwd: root,
    encoding: 'utf8',
  })
  expect([...names].filter((name) => !read.stdout.split('\n').includes(name))).toEqual([])
})
