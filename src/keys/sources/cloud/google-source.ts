// A secret in Google Secret Manager, by Google's own client, which finds its credentials as every program on Google Cloud does.

import type * as GoogleLibrary from '@google-cloud/secret-manager'
import type { GoogleReference } from '../../../config/secret-schema.ts'
import { SourceFault, withoutFinalBreak, type SecretSource, type SourceFaultKind } from '../source.ts'
import { loadLibrary } from './library.ts'

const packages = ['@google-cloud/secret-manager']
const callMs = 8_000

/** `load`: the client, where it is not the installed one. */
export function googleSource(
  { name, endpoint }: GoogleReference,
  load: () => Promise<typeof GoogleLibrary> = () => import('@google-cloud/secret-manager'),
): SecretSource {
  const place = `the Google secret ${name}`
  const isPinned = name.includes('/versions/')
  let opened: Promise<GoogleLibrary.SecretManagerServiceClient> | null = null

  async function open(): Promise<GoogleLibrary.SecretManagerServiceClient> {
    const { SecretManagerServiceClient } = await loadLibrary(place, packages, load)
    // By REST: one more connection of the kind that every network lets through.
    // With the project, or the client would ask another API for it, and end the process where that one says no.
    const projectId = name.split('/')[1]
    const client = new SecretManagerServiceClient({
      fallback: true,
      projectId,
      ...(endpoint === null ? {} : placeOf(endpoint)),
    })
    // Asked for here, or the client leaves a rejection that nobody catches, which would end the process.
    await client.auth.getClient().catch(() => {
      throw new SourceFault(
        'unavailable',
        `${place} cannot be asked: there are no Google credentials here that can be used; give the machine a service account, or let GOOGLE_APPLICATION_CREDENTIALS name a file with them`,
      )
    })
    return client
  }

  async function ask<Answer>(
    doing: 'read' | 'written',
    signal: AbortSignal,
    work: (client: GoogleLibrary.SecretManagerServiceClient) => Promise<Answer>,
  ): Promise<Answer> {
    opened ??= open()
    opened.catch(() => (opened = null))
    const left = Promise.withResolvers<never>()
    const leave = (): void => left.reject(new SourceFault('unavailable', `${place} gave no answer in time`))
    if (signal.aborted) leave()
    signal.addEventListener('abort', leave)
    try {
      return await Promise.race([opened.then(work), left.promise])
    } catch (error) {
      throw error instanceof SourceFault ? error : faultOf(error, doing)
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  /** Its own words may quote what was sent, so only codes are looked at. */
  function faultOf(error: unknown, doing: 'read' | 'written'): SourceFault {
    const code: unknown = error instanceof Error && 'code' in error ? error.code : null
    const isRefusedState = error instanceof Error && error.message.includes('"FAILED_PRECONDITION"')
    const [kind, why] = (isRefusedState ? faults.get(9) : faults.get(Number(code))) ?? [
      'unavailable',
      'Google gave no answer that can be used',
    ]
    const needs = doing === 'read' ? 'roles/secretmanager.secretAccessor' : 'roles/secretmanager.secretVersionAdder'
    return new SourceFault(kind, `${place} could not be ${doing}: ${why.replace('NEEDS', needs)}`)
  }

  return {
    place,
    async read(signal) {
      const [answer] = await ask('read', signal, (client) =>
        client.accessSecretVersion({ name: isPinned ? name : `${name}/versions/latest` }, { timeout: callMs }),
      )
      const data = answer.payload?.data ?? null
      if (data === null) throw new SourceFault('wrong', `${place} cannot be used: this version holds nothing`)
      const bytes = typeof data === 'string' ? Buffer.from(data, 'base64') : Buffer.from(data)
      const version = /\/versions\/(\w+)$/.exec(answer.name ?? '')?.[1] ?? null
      return { text: withoutFinalBreak(bytes.toString('utf8')), version }
    },
    // Of a secret that is pinned to a version the next one would not be read.
    write: isPinned
      ? null
      : async (text, signal) => {
          const payload = { data: Buffer.from(text) }
          await ask('written', signal, (client) =>
            client.addSecretVersion({ parent: name, payload }, { timeout: callMs }),
          )
        },
  }
}

/** By the codes of HTTP and of gRPC: the client gives either. */
const faults: ReadonlyMap<number, readonly [SourceFaultKind, string]> = new Map([
  ...both(404, 5, 'absent', 'there is no such secret, or it has no version'),
  ...both(409, 9, 'absent', 'its version is disabled or destroyed; enable it, or add a version'),
  ...both(403, 7, 'denied', 'the service account needs NEEDS on it'),
  ...both(401, 16, 'denied', 'Google does not accept the credentials of this machine'),
  ...both(429, 8, 'unavailable', 'the quota is used up'),
])

function both(
  http: number,
  grpc: number,
  kind: SourceFaultKind,
  why: string,
): readonly (readonly [number, readonly [SourceFaultKind, string]])[] {
  return [
    [http, [kind, why]],
    [grpc, [kind, why]],
  ]
}

function placeOf(endpoint: string): object {
  const { protocol, hostname, port } = new URL(endpoint)
  return {
    apiEndpoint: hostname,
    protocol: protocol.slice(0, -1),
    ...(port === '' ? {} : { port: Number(port) }),
  }
}
