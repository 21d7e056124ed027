// Secrets in AWS Secrets Manager: Amazon's own client against Debian's moto, an independent server of the protocol.

import { execFile, spawn } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../support/free-ports.ts'
import type { AwsReference } from '../../../src/config/secret-schema.ts'
import { awsSource } from '../../../src/keys/sources/cloud/aws-source.ts'
import { SourceFault } from '../../../src/keys/sources/source.ts'
import { startCloud } from '../../support/clouds.ts'
import { describeWithPython, pythonWith } from '../../support/debian-python.ts'
import { describeSource } from './contract.ts'

const signal = (): AbortSignal => AbortSignal.timeout(20_000)
const credentials = { AWS_ACCESS_KEY_ID: 'AKIAPLANTEDACCESSKEY', AWS_SECRET_ACCESS_KEY: 'planted-secret-access-key' }
let port = 0

describeWithPython('moto.server', 'python3-moto')('with moto', () => {
  const before = { ...process.env }
  let moto: ReturnType<typeof spawn> | null = null

  beforeAll(async () => {
    Object.assign(process.env, credentials, { AWS_REGION: 'eu-central-1', AWS_EC2_METADATA_DISABLED: 'true' })
    port = await freePort()
    moto = spawn(pythonWith('moto.server') ?? 'python3', ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)], {
      stdio: 'ignore',
    })
    moto.on('error', () => {})
    for (let tries = 0; tries < 300; tries += 1) {
      const isUp = await fetch(`http://127.0.0.1:${port}/moto-api/data.json`).then(
        () => true,
        () => false,
      )
      if (isUp) return
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    throw new Error('moto did not begin to listen')
  }, 40_000)
  afterAll(() => {
    moto?.kill('SIGKILL')
    process.env = before
  })

  describeSource('AWS Secrets Manager', async () => {
    const bench = await open()
    return { ...bench, source: awsSource(bench.reference) }
  })

  test('keeps the other fields of an object when one is written, and numbers as long as they are', async () => {
    const { reference, keep } = await open()
    await keep('{"owner":"platform","key":"cog_1","id":12345678901234567890}')
    const source = awsSource({ ...reference, field: 'key' })
    expect((await source.read(signal())).text).toBe('cog_1')
    await source.write?.('cog_2', signal())
    expect((await awsSource(reference).read(signal())).text).toBe(
      '{"owner":"platform","key":"cog_2","id":12345678901234567890}',
    )
    // An independent client sees the same.
    const script = `import boto3, sys
print(boto3.client('secretsmanager', endpoint_url=sys.argv[1]).get_secret_value(SecretId=sys.argv[2])['SecretString'], end='')`
    const { stdout } = await promisify(execFile)(
      pythonWith('boto3') ?? 'python3',
      ['-c', script, `http://127.0.0.1:${port}`, reference.secret],
      { env: { ...process.env, AWS_DEFAULT_REGION: 'eu-central-1' } },
    )
    expect(stdout).toBe('{"owner":"platform","key":"cog_2","id":12345678901234567890}')
  })

  test('says what is wrong with a field', async () => {
    const { reference, keep } = await open()
    await keep('{"key":"cog_1","cog_needle":"","n":1}')
    const said = async (field: string): Promise<string> =>
      await messageOf(awsSource({ ...reference, field }).read(signal()))
    const place = awsSource({ ...reference, field: 'kye' }).place
    expect(await said('kye')).toBe(`wrong: ${place} cannot be used: the object has no such field; did you mean "key"?`)
    expect(await said('n')).toMatch(/ the field is no text$/)
    expect(await said('cog_needles')).toMatch(/ the object has no such field$/)
    await keep('cog_needle')
    expect(await said('key')).toMatch(/^wrong: .* it is no JSON object, and `field` names a member of one$/)
    expect(
      await messageOf(awsSource({ ...reference, field: 'key' }).write?.('cog_2', signal()) ?? Promise.resolve()),
    ).toMatch(/^wrong: .* it is no JSON object, and `field` names a member of one$/)
  })

  test('reads bytes as text, and says of a deleted secret that it is to be restored', async () => {
    const { reference, keep } = await open()
    await keep('cog_1')
    await call('PutSecretValue', { SecretId: reference.secret, SecretBinary: Buffer.from('cog_2').toString('base64') })
    expect((await awsSource(reference).read(signal())).text).toBe('cog_2')
    await call('DeleteSecret', { SecretId: reference.secret, RecoveryWindowInDays: 7 })
    expect(await messageOf(awsSource(reference).read(signal()))).toMatch(
      /^absent: .* it is marked for deletion, or has no value/,
    )
  })

  test('without its client says how to install it', async () => {
    const missing = Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
    const { reference } = await open()
    expect(await messageOf(awsSource(reference, () => Promise.reject(missing)).read(signal()))).toBe(
      `wrong: ${awsSource(reference).place} cannot be asked: its client is not installed. Run, in the folder where devin-gateway is installed: npm install @aws-sdk/client-secrets-manager@3`,
    )
  })
})

test('without a region, or without an answer, an AWS secret says what it is that is missing', async () => {
  const reference = { secret: 'a', field: null, region: null, endpoint: 'http://127.0.0.1:9', refreshMs: 1 }
  const before = { ...process.env }
  onTestFinished(() => void (process.env = before))
  delete process.env['AWS_REGION']
  Object.assign(process.env, credentials, { AWS_EC2_METADATA_DISABLED: 'true', AWS_CONFIG_FILE: '/no/such/file' })
  expect(await messageOf(awsSource(reference).read(signal()))).toBe(
    'unavailable: the AWS secret a cannot be asked: this machine has no region; name one by `region`, or set AWS_REGION',
  )
  expect(await messageOf(awsSource({ ...reference, region: 'eu-central-1' }).read(signal()))).toMatch(
    /\(ECONNREFUSED\)$/,
  )
})

let count = 0

/** A secret of its own, behind a proxy that can refuse or say nothing. */
async function open() {
  const secret = `devin/${(count += 1)}-${process.pid}`
  let mood: 'fine' | 'silent' | 'forbidden' | 'read-only' = 'fine'
  const denied = {
    status: 400,
    headers: { 'content-type': 'application/x-amz-json-1.1' },
    body: {
      __type: 'AccessDeniedException',
      Message: `User is not authorized to use ${credentials.AWS_ACCESS_KEY_ID}`,
    },
  }
  const proxy = await startCloud(
    ({ headers }) => {
      if (mood === 'silent') return 'silent'
      const isWriting = String(headers['x-amz-target']).endsWith('.PutSecretValue')
      return mood === 'forbidden' || (mood === 'read-only' && isWriting) ? denied : 'pass'
    },
    { behind: port },
  )
  onTestFinished(() => proxy.close())
  const reference: AwsReference = {
    secret,
    field: null,
    region: 'eu-central-1',
    endpoint: `http://127.0.0.1:${proxy.port}`,
    refreshMs: 300_000,
  }
  let exists = false
  const be = (next: typeof mood) => (): Promise<void> => Promise.resolve(void (mood = next))
  return {
    reference,
    async keep(text: string): Promise<void> {
      if (exists) await call('PutSecretValue', { SecretId: secret, SecretString: text })
      else await call('CreateSecret', { Name: secret, SecretString: text })
      exists = true
    },
    empty: () => call('DeleteSecret', { SecretId: secret, ForceDeleteWithoutRecovery: true }),
    forbid: be('forbidden'),
    silence: be('silent'),
    refuseWriting: be('read-only'),
    credentials: Object.values(credentials),
  }
}

async function call(action: string, body: object): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${port}/`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': `secretsmanager.${action}`,
      authorization: `AWS4-HMAC-SHA256 Credential=x/20261129/eu-central-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=x`,
    },
    body: JSON.stringify({ ClientRequestToken: crypto.randomUUID(), ...body }),
  })
  if (!answer.ok) throw new Error(`${action}: ${await answer.text()}`)
}

async function messageOf(ask: Promise<unknown>): Promise<string> {
  const error: unknown = await ask.then(
    () => null,
    (reason: unknown) => reason,
  )
  return error instanceof SourceFault ? `${error.kind}: ${error.message}` : String(error)
}
