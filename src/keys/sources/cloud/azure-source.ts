// A secret in Azure Key Vault, by Microsoft's own client, with the credentials that every program on Azure finds.

import type * as IdentityLibrary from '@azure/identity'
import type * as AzureLibrary from '@azure/keyvault-secrets'
import type { AzureReference } from '../../../config/secret-schema.ts'
import { SourceFault, withoutFinalBreak, type SecretSource } from '../source.ts'
import { loadLibrary } from './library.ts'

const packages = ['@azure/keyvault-secrets', '@azure/identity']

type Libraries = Pick<typeof AzureLibrary, 'SecretClient'> & Pick<typeof IdentityLibrary, 'DefaultAzureCredential'>

async function loadInstalled(): Promise<Libraries> {
  const [{ SecretClient }, { DefaultAzureCredential }] = await Promise.all([
    import('@azure/keyvault-secrets'),
    import('@azure/identity'),
  ])
  return { SecretClient, DefaultAzureCredential }
}

/** `load`: the clients, where they are not the installed ones. */
export function azureSource(
  { vault, name }: AzureReference,
  load: () => Promise<Libraries> = loadInstalled,
): SecretSource {
  const place = `the secret ${name} of the Azure key vault ${vault}`
  let opened: Promise<AzureLibrary.SecretClient> | null = null

  async function open(): Promise<AzureLibrary.SecretClient> {
    const { SecretClient, DefaultAzureCredential } = await loadLibrary(place, packages, load)
    try {
      return new SecretClient(vault, new DefaultAzureCredential(), { retryOptions: { maxRetries: 1 } })
    } catch {
      throw new SourceFault(
        'unavailable',
        `${place} cannot be asked: the Azure SDK does not accept how it is set up here; look at the variables that begin with AZURE_`,
      )
    }
  }

  async function ask<Answer>(
    doing: 'read' | 'written',
    signal: AbortSignal,
    work: (client: AzureLibrary.SecretClient) => Promise<Answer>,
  ): Promise<Answer> {
    opened ??= open()
    opened.catch(() => (opened = null))
    const client = await opened
    try {
      return await work(client)
    } catch (error) {
      throw faultOf(error, doing, signal)
    }
  }

  /** Its own words may quote what was sent, so only status, code and name are looked at. */
  function faultOf(error: unknown, doing: 'read' | 'written', signal: AbortSignal): SourceFault {
    if (signal.aborted) return new SourceFault('unavailable', `${place} gave no answer in time`)
    const status: unknown = error instanceof Error && 'statusCode' in error ? error.statusCode : null
    const words = error instanceof Error ? `${error.name} ${error.message}` : ''
    if (/CredentialUnavailable|ChainedTokenCredential|AuthenticationRequired/.test(words))
      return new SourceFault(
        'unavailable',
        `${place} cannot be asked: there are no Azure credentials here; give the machine a managed identity, or set the variables of the Azure SDK`,
      )
    if (status === 404)
      return new SourceFault('absent', `${place} is not there: no secret has this name, or it was deleted`)
    if (status === 409)
      return new SourceFault(
        'absent',
        `${place} cannot be written: a secret of this name was deleted and can be recovered; recover it, or purge it`,
      )
    if (status === 403 && /disabled|not active|expired/i.test(words))
      return new SourceFault('absent', `${place} is disabled, or outside its dates; enable it, or set a new value`)
    if (status === 403)
      return new SourceFault(
        'denied',
        `${place} may not be ${doing}: the identity needs the role "Key Vault Secrets ${doing === 'read' ? 'User' : 'Officer'}", or the firewall of the vault lets this machine in no more`,
      )
    if (status === 401 || /^AuthenticationError\b/.test(words))
      return new SourceFault(
        'denied',
        `${place} may not be ${doing}: Azure does not accept the credentials of this machine`,
      )
    return new SourceFault(
      'unavailable',
      `${place} could not be ${doing}: Azure gave no answer that can be used${typeof status === 'number' ? ` (${status})` : ''}`,
    )
  }

  return {
    place,
    async read(signal) {
      const { value, properties } = await ask('read', signal, (client) =>
        client.getSecret(name, { abortSignal: signal }),
      )
      if (value === undefined) throw new SourceFault('wrong', `${place} cannot be used: it holds no value`)
      return { text: withoutFinalBreak(value), version: properties.version ?? null }
    },
    async write(text, signal) {
      await ask('written', signal, async (client) => {
        const { properties } = await client.getSecret(name, { abortSignal: signal })
        const { contentType, tags } = properties
        // A new version has only what it is given.
        const kept = { ...(contentType === undefined ? {} : { contentType }), ...(tags === undefined ? {} : { tags }) }
        await client.setSecret(name, text, { ...kept, abortSignal: signal })
      })
    },
  }
}
