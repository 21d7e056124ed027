// Secrets in Vault and OpenBao, against a stand-in that an independent client drives as well.

import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { VaultAuth, VaultReference } from '../../../src/config/secret-schema.ts'
import { createRemoteSources } from '../../../src/keys/sources/open.ts'
import { SourceFault, type SecretSource } from '../../../src/keys/sources/source.ts'
import { createAuthority } from '../../support/certificates.ts'
import { describeWithPython, pythonWith } from '../../support/debian-python.ts'
import { startVault, type StandInVault, type VaultOptions } from '../../support/vault.ts'
import { describeSource } from './contract.ts'

const signal = (): AbortSignal => AbortSignal.timeout(20_000)
const secretIdOf = { env: 'SECRET_ID' }

interface Bench {
  readonly vault: StandInVault
  /** The clock of the gateway, which the one of Vault follows. */
  advance(ms: number): void
  open(changes?: Partial<VaultReference>): SecretSource
  close(): Promise<void>
}

async function bench(options: VaultOptions = {}, env: Record<string, string> = {}): Promise<Bench> {
  const vault = await startVault(options)
  onTestFinished(() => vault.close())
  let nowMs = 0
  const remote = createRemoteSources({
    env: { VAULT_TOKEN: vault.rootToken, SECRET_ID: vault.secretId, ...env },
    monotonic: () => nowMs,
  })
  onTestFinished(() => remote.close())
  return {
    vault,
    advance(ms) {
      nowMs += ms
      vault.advance(ms)
    },
    open: (changes = {}) =>
      remote.of({
        vault: {
          address: vault.address,
          path: 'kv/data/devin/a',
          field: 'key',
          namespace: null,
          ca: null,
          auth: approle(vault),
          refreshMs: 60_000,
          ...changes,
        },
      }),
    close: () => remote.close(),
  }
}

function approle(vault: StandInVault): VaultAuth {
  return { approle: { roleId: vault.roleId, secretId: secretIdOf, mount: 'approle' } }
}

async function messageOf(ask: Promise<unknown>): Promise<string> {
  const error: unknown = await ask.then(
    () => null,
    (reason: unknown) => reason,
  )
  return error instanceof SourceFault ? `${error.kind}: ${error.message}` : String(error)
}

describeSource('Vault', async () => {
  const { vault, open } = await bench()
  return {
    source: open(),
    keep: (text) => Promise.resolve(vault.keep('kv/devin/a', { key: text })),
    empty: () => Promise.resolve(vault.remove('kv/devin/a')),
    forbid: () => Promise.resolve(vault.forbidReading()),
    silence: () => Promise.resolve(vault.be('silent')),
    refuseWriting: () => Promise.resolve(vault.forbidWriting()),
    credentials: [vault.rootToken, vault.secretId, vault.roleId],
  }
})

describe('a login', () => {
  test.each<[string, (vault: StandInVault) => Promise<VaultAuth> | VaultAuth]>([
    ['with a token of its own', () => ({ token: { env: 'VAULT_TOKEN' } })],
    ['with AppRole', approle],
    [
      'with AppRole, whose role ID is kept elsewhere too',
      () => ({ approle: { roleId: { env: 'ROLE_ID' }, secretId: secretIdOf, mount: 'approle' } }),
    ],
    [
      'with a Kubernetes service account',
      async (vault) => {
        const folder = await mkdtemp(join(tmpdir(), 'vault-'))
        onTestFinished(() => rm(folder, { recursive: true, force: true }))
        const path = join(folder, 'token')
        await writeFile(path, `${vault.serviceToken}\n`)
        return { kubernetes: { role: 'devin-gateway', path, mount: 'kubernetes' } }
      },
    ],
  ])('%s lets the gateway in', async (_, authOf) => {
    const env: Record<string, string> = {}
    const { vault, open } = await bench({}, env)
    env['ROLE_ID'] = vault.roleId
    vault.keep('kv/devin/a', { key: 'cog_1' })
    const remote = createRemoteSources({
      env: { VAULT_TOKEN: vault.rootToken, SECRET_ID: vault.secretId, ROLE_ID: vault.roleId },
      monotonic: () => 0,
    })
    onTestFinished(() => remote.close())
    const auth = await authOf(vault)
    const { text, version } = await remote
      .of({
        vault: {
          address: vault.address,
          path: 'kv/data/devin/a',
          field: 'key',
          namespace: null,
          ca: null,
          auth,
          refreshMs: 1,
        },
      })
      .read(signal())
    expect([text, version]).toEqual(['cog_1', '1'])
    expect(open().place).toBe(`the field key of the Vault secret kv/data/devin/a at ${vault.address}`)
  })

  test('at another mount, and in a namespace', async () => {
    const { vault, open } = await bench({ approleMount: 'corp/approle' })
    vault.keep('kv/devin/a', { key: 'cog_1' }, 'corp/team')
    const auth: VaultAuth = { approle: { roleId: vault.roleId, secretId: secretIdOf, mount: 'corp/approle' } }
    const source = open({ auth, namespace: 'corp/team' })
    expect((await source.read(signal())).text).toBe('cog_1')
    expect(await messageOf(open({ auth }).read(signal()))).toMatch(/^absent: .* nothing was ever written to this path$/)
    expect(source.place).toContain(' in corp/team at ')
    await source.write?.('cog_2', signal())
    expect(vault.latest('kv/devin/a', 'corp/team')).toBe('{"key":"cog_2"}')
  })

  test('is shared by the secrets of one server, and made once for all that ask together', async () => {
    const { vault, open } = await bench()
    for (const name of ['a', 'b', 'c']) vault.keep(`kv/devin/${name}`, { key: `cog_${name}` })
    const sources = ['a', 'b', 'c'].map((name) => open({ path: `kv/data/devin/${name}` }))
    const texts = await Promise.all(sources.map(async (source) => (await source.read(signal())).text))
    expect(texts).toEqual(['cog_a', 'cog_b', 'cog_c'])
    expect(vault.requests.filter(({ path }) => path.endsWith('/login'))).toHaveLength(1)
  })

  test('that is refused says why, and is not tried again at once: servers lock names out', async () => {
    const { vault, open, advance } = await bench()
    vault.keep('kv/devin/a', { key: 'cog_1' })
    const wrong: VaultAuth = { approle: { roleId: 'other', secretId: secretIdOf, mount: 'approle' } }
    const message = `denied: ${open().place}: Vault at ${vault.address} refused the login at auth/approle: the role ID or the secret ID is wrong, used up or expired`
    for (let times = 0; times < 5; times += 1)
      expect(await messageOf(open({ auth: wrong }).read(signal()))).toBe(message)
    expect(vault.loginsRefused).toBe(1)
    advance(5_000)
    expect(await messageOf(open({ auth: wrong }).read(signal()))).toBe(message)
    expect(vault.loginsRefused).toBe(2)
    const nowhere: VaultAuth = { approle: { roleId: vault.roleId, secretId: secretIdOf, mount: 'nowhere' } }
    expect(await messageOf(open({ auth: nowhere }).read(signal()))).toBe(
      `denied: ${open().place}: Vault at ${vault.address} has no login at auth/nowhere: look at \`mount\` and \`namespace\``,
    )
    const missing: VaultAuth = { approle: { roleId: vault.roleId, secretId: { env: 'NOWHERE' }, mount: 'approle' } }
    expect(await messageOf(open({ auth: missing }).read(signal()))).toBe(
      `absent: ${open().place}: Vault at ${vault.address}: the secret ID is to be read from the environment variable NOWHERE, which cannot be read`,
    )
  })

  test('is made anew when its token has ended or was revoked, once', async () => {
    const { vault, open, advance } = await bench({ ttlSeconds: 60 })
    vault.keep('kv/devin/a', { key: 'cog_1' })
    const source = open()
    await source.read(signal())
    const [first = ''] = vault.liveTokens
    vault.revoke(first)
    expect((await source.read(signal())).text).toBe('cog_1')
    advance(59_000)
    expect((await source.read(signal())).text).toBe('cog_1')
    expect(vault.requests.filter(({ path }) => path.endsWith('/login'))).toHaveLength(3)
  })

  test('is not made anew where the policy forbids the reading', async () => {
    const { vault, open } = await bench()
    vault.keep('kv/devin/a', { key: 'cog_1' })
    const source = open()
    await source.read(signal())
    vault.forbidReading()
    expect(await messageOf(source.read(signal()))).toBe(
      `denied: ${source.place} may not be read: the policy of the login needs "read" on kv/data/devin/a`,
    )
    expect(vault.requests.filter(({ path }) => path.endsWith('/login'))).toHaveLength(1)
  })

  test('leaves no token behind when the gateway stops', async () => {
    const { vault, open, close } = await bench()
    vault.keep('kv/devin/a', { key: 'cog_1' })
    await open().read(signal())
    expect(vault.liveTokens).toHaveLength(1)
    await close()
    expect(vault.liveTokens).toEqual([])
  })
})

describe('a token', () => {
  test('is renewed before its end, for as long as the server lets it live', async () => {
    const { vault, open } = await bench({ ttlSeconds: 3, mostSeconds: 600 })
    vault.keep('kv/devin/a', { key: 'cog_1' })
    await open().read(signal())
    while (!vault.requests.some(({ path }) => path === 'auth/token/renew-self'))
      await new Promise((resolve) => setTimeout(resolve, 20))
    expect(vault.liveTokens).toHaveLength(1)
  })

  test('of its own that has ended is denied in words', async () => {
    const { vault, open } = await bench({}, {})
    vault.keep('kv/devin/a', { key: 'cog_1' })
    const folder = await mkdtemp(join(tmpdir(), 'vault-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const file = join(folder, 'token')
    await writeFile(file, `${vault.issue(60)}\n`)
    const source = open({ auth: { token: { file } } })
    expect((await source.read(signal())).text).toBe('cog_1')
    vault.advance(61_000)
    expect(await messageOf(source.read(signal()))).toBe(
      `denied: ${source.place} may not be asked for: the token has expired or was revoked; put a new one in its place`,
    )
    // An agent beside the gateway replaces it.
    await writeFile(file, vault.issue(60))
    expect((await source.read(signal())).text).toBe('cog_1')
    await writeFile(file, 'two words')
    expect(await messageOf(source.read(signal()))).toBe(
      `wrong: ${source.place}: Vault at ${vault.address}: the token in the file ${file} is empty, or holds more than one word`,
    )
  })
})

describe('a secret that is not as it should be', () => {
  const cases: readonly (readonly [string, (vault: StandInVault) => void, Partial<VaultReference>, string])[] = [
    [
      'whose version was deleted',
      (vault) => vault.markDeleted('kv/devin/a'),
      {},
      'absent: PLACE is not there: version 1 was deleted; undelete it, or write the key anew',
    ],
    [
      'whose version was destroyed',
      (vault) => vault.destroyVersion('kv/devin/a'),
      {},
      'absent: PLACE is not there: version 1 was destroyed; write the key anew',
    ],
    [
      'that was never written',
      () => {},
      { path: 'kv/data/other' },
      'absent: PLACE is not there: nothing was ever written to this path',
    ],
    [
      'without the field',
      () => {},
      { field: 'kye' },
      'wrong: PLACE cannot be used: the secret has no such field; did you mean "key"?',
    ],
    [
      'whose field is no text',
      (vault) => vault.keep('kv/devin/a', { key: 7 }),
      {},
      'wrong: PLACE cannot be used: the field is no text',
    ],
    [
      'with the value as the name of a field',
      (vault) => vault.keep('kv/devin/a', { cog_key: '' }),
      { field: 'cog_kez' },
      'wrong: PLACE cannot be used: the secret has no such field',
    ],
    [
      'in a mount of version 1',
      (vault) => vault.keepVersionOne('kv1/data/a', { key: 'cog_1' }),
      { path: 'kv1/data/a' },
      'wrong: PLACE cannot be used: the mount is of KV version 1; `vault kv enable-versioning` makes it version 2, and then the path holds "data"',
    ],
    [
      'in a mount of version 1, where nothing is',
      () => {},
      { path: 'kv1/data/none' },
      'wrong: PLACE cannot be used: the mount is of KV version 1; `vault kv enable-versioning` makes it version 2, and then the path holds "data"',
    ],
    [
      'whose path has "data" at another place',
      () => {},
      { path: 'kv/devin/data/a' },
      'wrong: PLACE cannot be used: the mount is of KV version 2, and "data" stands at another place of the path',
    ],
  ]
  test.each(cases)('%s', async (_, spoil, changes, message) => {
    const { vault, open } = await bench()
    vault.keep('kv/devin/a', { key: 'cog_1' })
    spoil(vault)
    const source = open(changes)
    expect(await messageOf(source.read(signal()))).toBe(message.replace('PLACE', source.place))
  })
})

describe('a server that does not serve', () => {
  test.each([
    ['sealed', 'is sealed: somebody has to unseal it'],
    [
      'standby',
      'is a standby node that sends its clients elsewhere, and redirects are not followed: name the address of the cluster',
    ],
    ['overtaxed', 'refuses more questions for a while (429)'],
  ] as const)('because it is %s, is unavailable and comes back', async (state, why) => {
    const { vault, open } = await bench()
    vault.keep('kv/devin/a', { key: 'cog_1' })
    const source = open()
    const message = `unavailable: ${source.place}: Vault at ${vault.address} ${why}`
    vault.be(state)
    // Once before there is a login, and once with one.
    expect(await messageOf(source.read(signal()))).toBe(message)
    vault.be('serving')
    const other = open({ auth: { token: { env: 'VAULT_TOKEN' } } })
    expect((await other.read(signal())).text).toBe('cog_1')
    vault.be(state)
    expect(await messageOf(other.read(signal()))).toBe(message)
    expect(await messageOf(other.write?.('cog_2', signal()) ?? Promise.resolve())).toBe(message)
    vault.be('serving')
    expect((await other.read(signal())).text).toBe('cog_1')
  })

  test('because nothing listens there, or its authority is unknown, is unavailable', async () => {
    const { open } = await bench()
    const closed = await startVault()
    await closed.close()
    expect(await messageOf(open({ address: closed.address }).read(signal()))).toBe(
      `unavailable: ${open({ address: closed.address }).place}: Vault at ${closed.address} cannot be reached (ECONNREFUSED)`,
    )
    expect(await messageOf(open({ ca: '/nowhere/ca.pem' }).read(signal()))).toMatch(
      /^wrong: .* cannot be asked: \/nowhere\/ca.pem, the file of its authorities: there is no such file$/,
    )
  })
})

describe('a certificate', () => {
  test('is verified, by the authorities of a file that may be replaced, and by nothing else', async () => {
    const [right, wrong] = [createAuthority('right'), createAuthority('wrong')]
    const { vault, open } = await bench({ tls: right.issue({ name: '127.0.0.1' }) })
    vault.keep('kv/devin/a', { key: 'cog_1' })
    const folder = await mkdtemp(join(tmpdir(), 'vault-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const ca = join(folder, 'ca.pem')
    const refused =
      /^unavailable: .* its certificate was not accepted \(\w+\); name the authority that signed it by `ca`$/
    expect(await messageOf(open().read(signal()))).toMatch(refused)
    await writeFile(ca, wrong.ca)
    const source = open({ ca, auth: { token: { env: 'VAULT_TOKEN' } } })
    expect(await messageOf(source.read(signal()))).toMatch(refused)
    await writeFile(ca, right.ca)
    expect((await source.read(signal())).text).toBe('cog_1')
    await writeFile(ca, wrong.ca)
    expect(await messageOf(source.read(signal()))).toMatch(refused)
    expect(vault.requests.every(({ token }) => token === null || token === vault.rootToken)).toBe(true)
  })
})

describe('a write', () => {
  test('keeps the other fields as they were, numbers that JavaScript would round included', async () => {
    const { vault, open } = await bench()
    vault.keep('kv/devin/a', { owner: 'platform', key: 'cog_1', nested: { list: [1, 'x'] } })
    const big = JSON.stringify({ options: {}, data: 0 }).replace(
      '0',
      '{"key":"cog_1","id":12345678901234567890,"__proto__":"x"}',
    )
    const answer = await fetch(`${vault.address}/v1/kv/data/devin/big`, {
      method: 'POST',
      body: big,
      headers: { 'x-vault-token': vault.rootToken },
    })
    expect(answer.status).toBe(200)
    await open().write?.('cog_2', signal())
    expect(vault.latest('kv/devin/a')).toBe('{"owner":"platform","key":"cog_2","nested":{"list":[1,"x"]}}')
    await open({ path: 'kv/data/devin/big' }).write?.('cog_2', signal())
    expect(vault.latest('kv/devin/big')).toBe('{"key":"cog_2","id":12345678901234567890,"__proto__":"x"}')
  })

  test('makes a secret that is not there, or was deleted', async () => {
    const { vault, open } = await bench()
    await open({ path: 'kv/data/new' }).write?.('cog_1', signal())
    expect(vault.latest('kv/new')).toBe('{"key":"cog_1"}')
    vault.keep('kv/devin/a', { key: 'cog_1' })
    vault.markDeleted('kv/devin/a')
    await open().write?.('cog_2', signal())
    expect(await open().read(signal())).toEqual({ text: 'cog_2', version: '2' })
  })

  test('that another one has overtaken is made again on top of it, and undoes nothing', async () => {
    const { vault, open } = await bench()
    vault.keep('kv/devin/a', { key: 'cog_1', owner: 'a' })
    vault.interfereOnce(() => vault.keep('kv/devin/a', { key: 'cog_1', owner: 'b' }))
    await open().write?.('cog_2', signal())
    expect(vault.latest('kv/devin/a')).toBe('{"key":"cog_2","owner":"b"}')
    const always = (): void => {
      vault.keep('kv/devin/a', { key: 'cog_2', owner: 'c' })
      queueMicrotask(() => vault.interfereOnce(always))
    }
    vault.interfereOnce(always)
    expect(await messageOf(open().write?.('cog_3', signal()) ?? Promise.resolve())).toBe(
      `unavailable: ${open().place} is being written by somebody else: the old value stays`,
    )
    expect(vault.latest('kv/devin/a')).toBe('{"key":"cog_2","owner":"c"}')
  })

  test('that the policy forbids says what it needs', async () => {
    const { vault, open } = await bench()
    vault.keep('kv/devin/a', { key: 'cog_1' })
    vault.forbidWriting()
    expect(await messageOf(open().write?.('cog_2', signal()) ?? Promise.resolve())).toBe(
      `denied: ${open().place} may not be written: the policy of the login needs "create" and "update" on kv/data/devin/a`,
    )
  })
})

describeWithPython('hvac', 'python3-hvac')('the stand-in', () => {
  test("is what Debian's hvac, an independent client, takes for Vault", async () => {
    const vault = await startVault({ ttlSeconds: 600 })
    onTestFinished(() => vault.close())
    const script = `
import hvac, json, sys
from hvac import exceptions
address, root, role_id, secret_id, jwt = sys.argv[1:]
said = []
def fails(kind, work):
    try:
        work()
        said.append('no fault')
    except kind as fault:
        said.append(type(fault).__name__)
root_client = hvac.Client(url=address, token=root)
said.append(root_client.is_authenticated())
kv = root_client.secrets.kv.v2
said.append(kv.create_or_update_secret('devin/a', {'key': 'cog_1', 'owner': 'x'}, mount_point='kv')['data']['version'])
said.append(kv.create_or_update_secret('devin/a', {'key': 'cog_2'}, cas=1, mount_point='kv')['data']['version'])
fails(exceptions.InvalidRequest, lambda: kv.create_or_update_secret('devin/a', {'key': 'x'}, cas=1, mount_point='kv'))
client = hvac.Client(url=address)
login = client.auth.approle.login(role_id=role_id, secret_id=secret_id)
said.append(login['auth']['lease_duration'])
fails(exceptions.InvalidRequest, lambda: hvac.Client(url=address).auth.approle.login(role_id=role_id, secret_id='wrong'))
said.append(client.auth.token.renew_self()['auth']['renewable'])
read = client.secrets.kv.v2.read_secret_version('devin/a', mount_point='kv', raise_on_deleted_version=True)['data']
said.append([read['data'], read['metadata']['version']])
said.append(client.secrets.kv.v2.read_secret_version('devin/a', version=1, mount_point='kv', raise_on_deleted_version=True)['data']['data'])
kv.delete_latest_version_of_secret('devin/a', mount_point='kv')
fails(exceptions.InvalidPath, lambda: client.secrets.kv.v2.read_secret_version('devin/a', mount_point='kv', raise_on_deleted_version=True))
deleted = client.secrets.kv.v2.read_secret_version('devin/a', mount_point='kv', raise_on_deleted_version=False)['data']
said.append([deleted['data'], deleted['metadata']['deletion_time'] != ''])
kv.undelete_secret_versions('devin/a', [2], mount_point='kv')
said.append(kv.read_secret_metadata('devin/a', mount_point='kv')['data']['current_version'])
kv.patch('devin/a', {'owner': 'y'}, mount_point='kv')
said.append(kv.read_secret_version('devin/a', mount_point='kv', raise_on_deleted_version=True)['data']['data'])
kv.destroy_secret_versions('devin/a', [3], mount_point='kv')
fails(exceptions.InvalidPath, lambda: kv.read_secret_version('devin/a', mount_point='kv', raise_on_deleted_version=True))
fails(exceptions.InvalidPath, lambda: kv.read_secret_version('none', mount_point='kv', raise_on_deleted_version=True))
team = hvac.Client(url=address, token=root, namespace='team')
team.secrets.kv.v2.create_or_update_secret('devin/a', {'key': 'cog_team'}, mount_point='kv')
said.append(team.secrets.kv.v2.read_secret_version('devin/a', mount_point='kv', raise_on_deleted_version=True)['data']['data'])
team.auth.kubernetes.login(role='devin-gateway', jwt=jwt) if hasattr(team.auth, 'kubernetes') else None
fails(exceptions.Forbidden, lambda: hvac.Client(url=address, token='wrong').secrets.kv.v2.read_secret_version('devin/a', mount_point='kv', raise_on_deleted_version=True))
client.auth.token.revoke_self()
said.append(client.is_authenticated())
root_client.sys.seal()
said.append(root_client.sys.is_sealed())
fails(exceptions.VaultDown, lambda: kv.read_secret_version('devin/a', mount_point='kv', raise_on_deleted_version=True))
root_client.sys.submit_unseal_key('x')
said.append(root_client.sys.is_sealed())
print(json.dumps(said))
`
    const { stdout } = await promisify(execFile)(pythonWith('hvac') ?? 'python3', [
      '-c',
      script,
      vault.address,
      vault.rootToken,
      vault.roleId,
      vault.secretId,
      vault.serviceToken,
    ])
    expect(JSON.parse(stdout)).toEqual([
      true,
      1,
      2,
      'InvalidRequest',
      600,
      'InvalidRequest',
      true,
      [{ key: 'cog_2' }, 2],
      { key: 'cog_1', owner: 'x' },
      'InvalidPath',
      [null, true],
      2,
      { key: 'cog_2', owner: 'y' },
      'InvalidPath',
      'InvalidPath',
      { key: 'cog_team' },
      'Forbidden',
      false,
      true,
      'VaultDown',
      false,
    ])
  })
})
