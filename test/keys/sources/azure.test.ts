// Secrets in Azure Key Vault: Microsoft's own client against exchanges as the reference of the REST API shows them
// (learn.microsoft.com/rest/api/keyvault/secrets), with the challenge that a vault answers first.

import { SecretClient } from '@azure/keyvault-secrets'
import { describe, expect, onTestFinished, test } from 'vitest'
import { azureSource } from '../../../src/keys/sources/cloud/azure-source.ts'
import { SourceFault } from '../../../src/keys/sources/source.ts'
import { createAuthority } from '../../support/certificates.ts'
import { startCloud, type CloudAnswer } from '../../support/clouds.ts'
import { describeSource } from './contract.ts'

const signal = (): AbortSignal => AbortSignal.timeout(20_000)
const name = 'devin-payments'
const accessToken = 'planted-access-token-0123456789'
const authority = createAuthority('authority of a test')

interface Version {
  text: string
  contentType?: string
  tags?: Record<string, string>
  enabled: boolean
}

/** A vault with one secret, as the API shows it. */
async function open() {
  const versions: Version[] = []
  let mood: 'fine' | 'silent' | 'forbidden' | 'read-only' | 'no-credentials' = 'fine'
  let origin = ''
  const refused = (status: number, code: string, message: string): CloudAnswer => ({
    status,
    body: { error: { code, message } },
  })
  const shown = (version: Version, index: number): CloudAnswer => ({
    status: 200,
    body: {
      value: version.text,
      id: `${origin}/secrets/${name}/${String(index).padStart(32, '0')}`,
      ...(version.contentType === undefined ? {} : { contentType: version.contentType }),
      attributes: {
        enabled: version.enabled,
        created: 1_764_417_600,
        updated: 1_764_417_600,
        recoveryLevel: 'Recoverable+Purgeable',
        recoverableDays: 90,
      },
      tags: version.tags ?? {},
    },
  })
  const cloud = await startCloud(
    ({ method, path, headers, body }) => {
      if (mood === 'silent') return 'silent'
      if (headers.authorization !== `Bearer ${accessToken}`)
        return {
          ...refused(401, 'Unauthorized', 'AKV10000: Request is missing a Bearer or PoP token.'),
          headers: {
            'www-authenticate':
              'Bearer authorization="https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47", resource="https://vault.azure.net"',
          },
        }
      if (!path.startsWith(`/secrets/${name}`)) return refused(404, 'SecretNotFound', 'A secret was not found.')
      const isWriting = method === 'PUT'
      if (mood === 'forbidden' || (mood === 'read-only' && isWriting))
        return refused(403, 'Forbidden', 'Caller is not authorized to perform action on resource.')
      if (isWriting) {
        const { value, ...rest } = JSON.parse(body) as {
          value: string
          contentType?: string
          tags?: Record<string, string>
        }
        versions.push({ text: value, enabled: true, ...rest })
      }
      const latest = versions.at(-1)
      if (latest === undefined)
        return refused(404, 'SecretNotFound', `A secret with (name/id) ${name} was not found in this key vault.`)
      if (!latest.enabled) return refused(403, 'Forbidden', 'Operation get is not allowed on a disabled secret.')
      return shown(latest, versions.length)
    },
    { tls: authority.issue({ name: '127.0.0.1' }) },
  )
  onTestFinished(() => cloud.close())
  origin = `https://127.0.0.1:${cloud.port}`
  class Credential {
    getToken(): Promise<{ token: string; expiresOnTimestamp: number }> {
      if (mood === 'no-credentials')
        return Promise.reject(
          Object.assign(new Error('EnvironmentCredential is unavailable.'), { name: 'CredentialUnavailableError' }),
        )
      return Promise.resolve({ token: accessToken, expiresOnTimestamp: Date.now() + 3_600_000 })
    }
  }
  /** The client as it is, but that it trusts the authority of the test and a vault that is not Microsoft's. */
  class LocalClient extends SecretClient {
    constructor(vault: string, credential: object, options: object = {}) {
      super(vault, credential, {
        ...options,
        tlsOptions: { ca: authority.ca },
        disableChallengeResourceVerification: true,
      })
    }
  }
  const be = (next: typeof mood) => (): Promise<void> => Promise.resolve(void (mood = next))
  const libraries = { SecretClient: LocalClient, DefaultAzureCredential: Credential }
  const reference = { vault: origin, name, refreshMs: 300_000 }
  return {
    reference,
    versions,
    source: azureSource(reference, () => Promise.resolve(libraries)),
    keep: (text: string) => Promise.resolve(void versions.push({ text, enabled: true })),
    empty: () => Promise.resolve(void versions.splice(0)),
    forbid: be('forbidden'),
    silence: be('silent'),
    refuseWriting: be('read-only'),
    loseCredentials: be('no-credentials'),
    credentials: [accessToken],
  }
}

describeSource('Azure Key Vault', open)

async function messageOf(ask: Promise<unknown>): Promise<string> {
  const error: unknown = await ask.then(
    () => null,
    (reason: unknown) => reason,
  )
  return error instanceof SourceFault ? `${error.kind}: ${error.message}` : String(error)
}

describe('an Azure secret', () => {
  test('keeps its content type and its tags when it is written', async () => {
    const { source, versions } = await open()
    versions.push({ text: 'cog_1', enabled: true, contentType: 'text/plain', tags: { owner: 'platform' } })
    await source.write?.('cog_2', signal())
    expect(versions.at(-1)).toMatchObject({ text: 'cog_2', contentType: 'text/plain', tags: { owner: 'platform' } })
    expect(await source.read(signal())).toEqual({ text: 'cog_2', version: '2'.padStart(32, '0') })
  })

  test('says what stands in the way', async () => {
    const { source, versions } = await open()
    versions.push({ text: 'cog_1', enabled: false })
    expect(await messageOf(source.read(signal()))).toBe(
      `absent: ${source.place} is disabled, or outside its dates; enable it, or set a new value`,
    )
    const missing = Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
    const { reference } = await open()
    expect(await messageOf(azureSource(reference, () => Promise.reject(missing)).read(signal()))).toMatch(
      /: npm install @azure\/keyvault-secrets@4 @azure\/identity@4$/,
    )
    class Refusing {
      constructor() {
        throw new Error('Invalid value for AZURE_TOKEN_CREDENTIALS = needle')
      }
      getToken = (): Promise<null> => Promise.resolve(null)
    }
    const refusing = { SecretClient, DefaultAzureCredential: Refusing }
    expect(await messageOf(azureSource(reference, () => Promise.resolve(refusing)).read(signal()))).toMatch(
      /^unavailable: .* look at the variables that begin with AZURE_$/,
    )
    const other = await open()
    await other.loseCredentials()
    expect(await messageOf(other.source.read(signal()))).toMatch(/^unavailable: .* there are no Azure credentials here/)
  })
})
