// Secrets in Google Secret Manager: Google's own client against exchanges as the reference of the REST API shows them
// (cloud.google.com/secret-manager/docs/reference/rest/v1), logged in by a credentials file as a workload outside Google has it.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { googleSource } from '../../../src/keys/sources/cloud/google-source.ts'
import { SourceFault } from '../../../src/keys/sources/source.ts'
import { startCloud, type CloudAnswer, type CloudServer } from '../../support/clouds.ts'
import { describeSource } from './contract.ts'

const signal = (): AbortSignal => AbortSignal.timeout(20_000)
const name = 'projects/corp-devin/secrets/devin-payments'
const accessToken = 'planted-access-token-0123456789'
const subjectToken = 'planted-subject-token-9876543210'
const before = process.env['GOOGLE_APPLICATION_CREDENTIALS']
let folder = ''
let tokens: CloudServer

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'google-'))
  // As the Security Token Service answers (cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token).
  tokens = await startCloud(() => ({
    status: 200,
    body: {
      access_token: accessToken,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: 3599,
    },
  }))
  const file = join(folder, 'credentials.json')
  await writeFile(join(folder, 'subject-token'), subjectToken)
  await writeFile(
    file,
    JSON.stringify({
      type: 'external_account',
      audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: `http://127.0.0.1:${tokens.port}/v1/token`,
      credential_source: { file: join(folder, 'subject-token') },
    }),
  )
  process.env['GOOGLE_APPLICATION_CREDENTIALS'] = file
})
afterAll(async () => {
  if (before === undefined) delete process.env['GOOGLE_APPLICATION_CREDENTIALS']
  else process.env['GOOGLE_APPLICATION_CREDENTIALS'] = before
  await tokens.close()
  await rm(folder, { recursive: true, force: true })
})

/** A project with one secret, as the API shows it. */
async function open() {
  const versions: { text: string; state: 'ENABLED' | 'DISABLED' | 'DESTROYED' }[] = []
  let mood: 'fine' | 'silent' | 'forbidden' | 'read-only' | 'unauthenticated' = 'fine'
  const refused = (code: number, status: string, message: string): CloudAnswer => ({
    status: code,
    body: { error: { code, message, status } },
  })
  const cloud = await startCloud(({ method, path, body, headers }) => {
    if (mood === 'silent') return 'silent'
    if (headers.authorization !== `Bearer ${accessToken}` || mood === 'unauthenticated')
      return refused(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.')
    const isWriting = method === 'POST'
    const permission = isWriting ? 'secretmanager.versions.add' : 'secretmanager.versions.access'
    if (mood === 'forbidden' || (mood === 'read-only' && isWriting))
      return refused(
        403,
        'PERMISSION_DENIED',
        `Permission '${permission}' denied for resource '${name}' (or it may not exist).`,
      )
    if (isWriting && path.startsWith(`/v1/${name}:addVersion`)) {
      const { payload } = JSON.parse(body) as { payload: { data: string } }
      versions.push({ text: Buffer.from(payload.data, 'base64').toString('utf8'), state: 'ENABLED' })
      const created = {
        name: `projects/4711/secrets/devin-payments/versions/${versions.length}`,
        createTime: '2026-11-29T12:00:00.123456Z',
        state: 'ENABLED',
        replicationStatus: { automatic: {} },
        etag: '"1"',
      }
      return { status: 200, body: created }
    }
    const asked = /^\/v1\/(.*)\/versions\/(\w+):access/.exec(path)
    const number = asked?.[2] === 'latest' ? versions.length : Number(asked?.[2])
    const found = asked?.[1] === name ? versions[number - 1] : undefined
    if (found === undefined) return refused(404, 'NOT_FOUND', `Secret [${name}] not found or has no versions.`)
    if (found.state !== 'ENABLED')
      return refused(
        400,
        'FAILED_PRECONDITION',
        `Secret Version [${name}/versions/${number}] is in ${found.state} state.`,
      )
    return {
      status: 200,
      body: {
        name: `projects/4711/secrets/devin-payments/versions/${number}`,
        payload: { data: Buffer.from(found.text).toString('base64') },
      },
    }
  })
  onTestFinished(() => cloud.close())
  const be = (next: typeof mood) => (): Promise<void> => Promise.resolve(void (mood = next))
  const reference = { name, endpoint: `http://127.0.0.1:${cloud.port}`, refreshMs: 300_000 }
  return {
    reference,
    versions,
    source: googleSource(reference),
    keep: (text: string) => Promise.resolve(void versions.push({ text, state: 'ENABLED' })),
    empty: () => Promise.resolve(void versions.splice(0)),
    forbid: be('forbidden'),
    silence: be('silent'),
    refuseWriting: be('read-only'),
    expire: be('unauthenticated'),
    credentials: [accessToken, subjectToken],
  }
}

describeSource('Google Secret Manager', open)

async function messageOf(ask: Promise<unknown>): Promise<string> {
  const error: unknown = await ask.then(
    () => null,
    (reason: unknown) => reason,
  )
  return error instanceof SourceFault ? `${error.kind}: ${error.message}` : String(error)
}

describe('a Google secret', () => {
  test('is read in its latest version, or in the one that is named, which nothing is written to', async () => {
    const { reference, keep } = await open()
    await keep('cog_1\n')
    await keep('cog_2')
    expect(await googleSource(reference).read(signal())).toEqual({ text: 'cog_2', version: '2' })
    const pinned = googleSource({ ...reference, name: `${name}/versions/1` })
    expect(await pinned.read(signal())).toEqual({ text: 'cog_1', version: '1' })
    expect(pinned.write).toBeNull()
  })

  test('without credentials is away, leaves no rejection that would end the process, and works when they are there', async () => {
    const { source, keep } = await open()
    await keep('cog_1')
    const file = process.env['GOOGLE_APPLICATION_CREDENTIALS']
    process.env['GOOGLE_APPLICATION_CREDENTIALS'] = join(folder, 'no-such-file')
    const uncaught: unknown[] = []
    const hear = (error: unknown): void => void uncaught.push(error)
    process.on('unhandledRejection', hear)
    try {
      const said = await messageOf(source.read(signal()))
      expect(said).toBe(
        `unavailable: the Google secret ${name} cannot be asked: there are no Google credentials here that can be used; give the machine a service account, or let GOOGLE_APPLICATION_CREDENTIALS name a file with them`,
      )
      for (let turns = 0; turns < 5; turns += 1) await new Promise(setImmediate)
      expect(uncaught).toEqual([])
    } finally {
      process.off('unhandledRejection', hear)
      process.env['GOOGLE_APPLICATION_CREDENTIALS'] = file
    }
    expect((await source.read(signal())).text).toBe('cog_1')
  })

  test('says what stands in the way', async () => {
    const { source, keep, versions, expire } = await open()
    await keep('cog_1')
    Object.assign(versions[0] ?? {}, { state: 'DESTROYED' })
    expect(await messageOf(source.read(signal()))).toBe(
      `absent: the Google secret ${name} could not be read: its version is disabled or destroyed; enable it, or add a version`,
    )
    await expire()
    expect(await messageOf(source.read(signal()))).toBe(
      `denied: the Google secret ${name} could not be read: Google does not accept the credentials of this machine`,
    )
    const missing = Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
    expect(
      await messageOf(
        googleSource({ name, endpoint: null, refreshMs: 1 }, () => Promise.reject(missing)).read(signal()),
      ),
    ).toMatch(/: npm install @google-cloud\/secret-manager@6$/)
  })
})
