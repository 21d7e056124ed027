// Keys in the secret stores of three clouds, in a process of its own with the official clients and their own ways to log in: values that
// are known stay in use, what is wrong is told of each key, and neither a value nor a credential is found in anything that is written.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import { startCloud, type CloudAnswer, type CloudRequest, type CloudServer } from '../support/clouds.ts'
import { startCommand, startGatewayProcess, type StartedGateway } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { expectNowhere } from '../support/planted.ts'
import { createSite, type Site } from '../support/site.ts'
import { until } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'

const values = {
  aws: 'cog_aws-needle-0123456789abcdef',
  google: 'cog_google-needle-0123456789abcdef',
  azure: 'cog_azure-needle-0123456789abcdef',
}
const credentials = {
  awsSecret: 'planted+aws/secret-access-key-0123456789',
  awsSession: 'planted-aws-session-token-0123456789',
  googleSubject: 'planted-google-subject-token-0123456789',
  googleAccess: 'planted-google-access-token-0123456789',
  azureHeader: 'planted-azure-identity-header-0123456789',
  azureAccess: 'planted-azure-access-token-0123456789',
}
const vaultName = 'planted.vault.azure.net'
const authority = createAuthority('authority of a test')
const servers: CloudServer[] = []

/** What all three do. `refusing` and `unauthenticated` repeat what they were sent and what they keep. */
let mood: 'fine' | 'no-key' | 'refusing' | 'unauthenticated' = 'fine'
let upstream: RecordingUpstream
let issuer: Issuer
let site: Site
let gateway: StartedGateway
let env: Record<string, string>

const kept = (value: string): string => (mood === 'no-key' ? `"${value}"` : value)
const repeating = (value: string, { headers, body }: CloudRequest): string =>
  `not for ${JSON.stringify(headers)} ${body} ${value} ${Object.values(credentials).join(' ')}`

function aws(request: CloudRequest): CloudAnswer {
  const refused = (type: string): CloudAnswer => ({
    status: 400,
    headers: { 'content-type': 'application/x-amz-json-1.1' },
    body: { __type: type, Message: repeating(values.aws, request) },
  })
  if (mood === 'refusing') return refused('AccessDeniedException')
  if (mood === 'unauthenticated') return refused('ExpiredTokenException')
  const version = crypto.randomUUID()
  return { status: 200, body: { ARN: 'arn', Name: 'devin/a', SecretString: kept(values.aws), VersionId: version } }
}

function google(request: CloudRequest): CloudAnswer {
  const refused = (code: number, status: string): CloudAnswer => ({
    status: code,
    body: { error: { code, status, message: repeating(values.google, request) } },
  })
  if (mood === 'refusing') return refused(403, 'PERMISSION_DENIED')
  if (mood === 'unauthenticated') return refused(401, 'UNAUTHENTICATED')
  const data = Buffer.from(kept(values.google)).toString('base64')
  return { status: 200, body: { name: 'projects/1/secrets/a/versions/1', payload: { data } } }
}

function azure(request: CloudRequest): CloudAnswer {
  const refused = (status: number, code: string, headers: Record<string, string> = {}): CloudAnswer => ({
    status,
    headers,
    body: { error: { code, message: repeating(values.azure, request) } },
  })
  if (mood === 'refusing') return refused(403, 'Forbidden')
  if (mood === 'unauthenticated' || request.headers.authorization !== `Bearer ${credentials.azureAccess}`)
    return refused(401, 'Unauthorized', {
      'www-authenticate':
        'Bearer authorization="https://login.microsoftonline.com/corp", resource="https://vault.azure.net"',
    })
  const id = `https://${vaultName}/secrets/devin-a/${'1'.repeat(32)}`
  return { status: 200, body: { value: kept(values.azure), id, attributes: { enabled: true } } }
}

async function serve(...args: Parameters<typeof startCloud>): Promise<number> {
  const server = await startCloud(...args)
  servers.push(server)
  return server.port
}

beforeAll(async () => {
  upstream = await startUpstream()
  issuer = await startIssuer()
  const lifetime = { expires_in: 3599, token_type: 'Bearer' }
  const issued = 'urn:ietf:params:oauth:token-type:access_token'
  const [awsPort, googlePort, googleLogin, azurePort, azureLogin] = await Promise.all([
    serve(aws),
    serve(google),
    serve(() => ({
      status: 200,
      body: { access_token: credentials.googleAccess, issued_token_type: issued, ...lifetime },
    })),
    serve(azure, { tls: authority.issue({ name: vaultName }) }),
    serve(() => ({
      status: 200,
      body: {
        access_token: credentials.azureAccess,
        expires_on: Math.floor(Date.now() / 1000) + 3599,
        resource: 'https://vault.azure.net',
        ...lifetime,
      },
    })),
  ])
  const inAws = `{ aws: { secret: devin/a, region: eu-central-1, endpoint: "http://127.0.0.1:${awsPort}", refresh: 1s } }`
  const inGoogle = `{ google: { name: projects/corp/secrets/a, endpoint: "http://127.0.0.1:${googlePort}", refresh: 1s } }`
  const inAzure = `{ azure: { vault: "https://${vaultName}:${azurePort}", name: devin-a, refresh: 1s } }`
  const entry = (id: string, permissions: string, secret: string): string =>
    `  - { id: ${id}, scope: organization, organization: org-payments, permissions: [${permissions}], secret: ${secret} }\n`
  site = await createSite({
    upstream: upstream.origin,
    issuer,
    policies: {
      'keys.yaml': `keys:\n${entry('payments-runner', 'ViewOrgSessions', inAws)}${entry('in-google', 'ManageOrgSecrets', inGoogle)}${entry('in-azure', 'IndexOrgRepositories', inAzure)}`,
    },
  })
  const place = (name: string): string => join(site.directory, name)
  await writeFile(place('subject-token'), credentials.googleSubject)
  await writeFile(
    place('google.json'),
    JSON.stringify({
      type: 'external_account',
      audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: `http://127.0.0.1:${googleLogin}/v1/token`,
      credential_source: { file: place('subject-token') },
    }),
  )
  await writeFile(place('ca.pem'), authority.ca)
  // The client of Azure insists on the name of a vault.
  await writeFile(
    place('names.mjs'),
    `import dns from 'node:dns'\nconst { lookup } = dns\ndns.lookup = (name, ...rest) => lookup(name === '${vaultName}' ? '127.0.0.1' : name, ...rest)\n`,
  )
  env = {
    AWS_ACCESS_KEY_ID: 'AKIAPLANTED',
    AWS_SECRET_ACCESS_KEY: credentials.awsSecret,
    AWS_SESSION_TOKEN: credentials.awsSession,
    GOOGLE_APPLICATION_CREDENTIALS: place('google.json'),
    IDENTITY_ENDPOINT: `http://127.0.0.1:${azureLogin}/msi/token`,
    IDENTITY_HEADER: credentials.azureHeader,
    NODE_EXTRA_CA_CERTS: place('ca.pem'),
    NODE_OPTIONS: `--import=${place('names.mjs')}`,
  }
  gateway = await startGatewayProcess(site.configFile, { env })
}, 60_000)
afterAll(async () => {
  await gateway.kill()
  await Promise.all([upstream.close(), issuer.stop(), site.remove(), ...servers.map((server) => server.close())])
})

interface ShownKey {
  readonly id: string
  readonly state: string
  readonly source_error: string | null
}

const admin = async (path: string, method = 'GET'): Promise<{ status: number; text: string }> => {
  const answer = await fetch(`http://127.0.0.1:${gateway.adminPort}${path}`, { method })
  return { status: answer.status, text: await answer.text() }
}
const shownKeys = async (): Promise<readonly ShownKey[]> => JSON.parse((await admin('/api/keys')).text) as ShownKey[]

test('a value that is known stays in use; each key says what is wrong; no value and no credential is found anywhere', async () => {
  const answers: string[] = []
  const call = async (): Promise<number> => {
    const authorization = `Bearer ${await issuer.sign({ sub: 'ann', groups: ['sso-payments-eng'] })}`
    const url = `http://127.0.0.1:${gateway.port}/v3/organizations/org-payments/sessions?n=${answers.length}`
    const answer = await fetch(url, { headers: { authorization } })
    answers.push(JSON.stringify([...answer.headers]), await answer.text())
    return answer.status
  }
  expect(await call()).toBe(200)
  expect(upstream.seen.at(-1)?.headers['authorization']).toBe(`Bearer ${values.aws}`)
  expect((await shownKeys()).map(({ source_error: error }) => error)).toEqual([null, null, null])

  for (const [next, said] of [
    ['no-key', /does not hold a service-user key: it stands in quotes/],
    ['refusing', /may not be read|the service account needs/],
    ['unauthenticated', /does not accept the credentials of this machine/],
  ] as const) {
    mood = next
    await until(
      async () => (await shownKeys()).every(({ source_error: error }) => error !== null && said.test(error)),
      `what is said when the clouds are ${next}`,
    )
    const pages = await Promise.all(['/readyz', '/metrics', '/api/keys', '/api/status'].map((path) => admin(path)))
    expect(pages.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    for (const id of ['payments-runner', 'in-google', 'in-azure']) {
      expect(pages[0]?.text).toContain(`\\"${id}\\"`)
      expect(pages[1]?.text).toContain(`gateway_key_source_failing{key="${id}"} 1`)
    }
    answers.push(...pages.map(({ text }) => text), (await admin('/api/reload', 'POST')).text)
    expect(await call()).toBe(200)
    expect(upstream.seen.at(-1)?.headers['authorization']).toBe(`Bearer ${values.aws}`)
  }

  // A command and a new start say it as well, of every key.
  for (const command of [['check', '--online'], ['start']]) {
    const { code, out, err } = await startCommand([...command, '--config', site.configFile], { env }).ended
    expect(code).toBe(1)
    for (const id of ['payments-runner', 'in-google', 'in-azure'])
      expect(err).toMatch(new RegExp(`keys\\.yaml:\\d+:\\d+: key "${id}".*does not accept the credentials`))
    answers.push(out, err)
  }

  gateway.signal('SIGTERM')
  await gateway.ended
  const records = ['access', 'decisions', 'audit'].map((name) =>
    readFile(join(site.directory, `${name}.ndjson`), 'utf8'),
  )
  const written = [gateway.out, gateway.err, ...(await Promise.all(records)), ...answers].join('\n')
  expect(written).toContain('key-source')
  expectNowhere(written, [...Object.values(values), ...Object.values(credentials)])
}, 60_000)
