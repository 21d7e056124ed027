// Calls of the HTTP API of HashiCorp Vault and OpenBao. Knows how it answers, and nothing of what its secrets mean.

import { readFile } from 'node:fs/promises'
import { Agent, request } from 'undici'
import { errorCode, whyUnreadable } from '../../../config/values/file-errors.ts'
import { keepNumber } from '../json-text.ts'
import { mostBytes, SourceFault } from '../source.ts'

/** A server, and the part of it that is asked. */
export interface VaultServer {
  readonly address: string
  readonly namespace: string | null
  /** File with the only certificate authorities to trust; null for the system's. */
  readonly ca: string | null
}

export interface VaultCall {
  readonly method: 'GET' | 'POST'
  /** Below `/v1/`, as it is written in the documentation of the API. */
  readonly path: string
  readonly token: string | null
  readonly body?: object
}

/** What the server has answered. It may hold secrets: no part of it belongs into a message. */
export interface VaultAnswer {
  readonly status: number
  /** Null where it is no JSON. Numbers are kept as they were written. */
  readonly body: unknown
}

export type VaultClient = ReturnType<typeof createVaultClient>

/** Several keys may lie in one secret, and each has a bound of its own. */
const mostAnswerBytes = 16 * mostBytes

export function createVaultClient(server: VaultServer) {
  const name = `Vault at ${server.address}`
  let agent: { readonly ca: string | null; readonly agent: Agent } | null = null

  /** A connection that trusts what the file of authorities holds now. */
  async function currentAgent(): Promise<Agent> {
    const ca = server.ca === null ? null : await readAuthorities(server.ca)
    if (agent?.ca === ca) return agent.agent
    void agent?.agent.close()
    // Named here so that NODE_TLS_REJECT_UNAUTHORIZED cannot switch it off: what is sent opens every key.
    const made = new Agent({ connect: { rejectUnauthorized: true, ...(ca === null ? {} : { ca }) } })
    agent = { ca, agent: made }
    return made
  }

  async function readAuthorities(file: string): Promise<string> {
    return await readFile(file, 'utf8').catch((error: unknown) => {
      throw new SourceFault(
        'wrong',
        `${name} cannot be asked: ${file}, the file of its authorities: ${whyUnreadable(error)}`,
      )
    })
  }

  return {
    name,
    /** One call. Throws SourceFault where there is no answer. */
    async call({ method, path, token, body }: VaultCall, signal: AbortSignal): Promise<VaultAnswer> {
      const dispatcher = await currentAgent()
      try {
        const response = await request(`${server.address}/v1/${path.split('/').map(encodeURIComponent).join('/')}`, {
          dispatcher,
          method,
          signal,
          headers: {
            accept: 'application/json',
            'user-agent': 'devin-gateway',
            // Agents that hand on calls ask for it, so that a page in a browser cannot make one.
            'x-vault-request': 'true',
            ...(token === null ? {} : { 'x-vault-token': token }),
            ...(server.namespace === null ? {} : { 'x-vault-namespace': server.namespace }),
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })
        const chunks: Buffer[] = []
        let bytes = 0
        for await (const chunk of response.body) {
          // A body stream without encoding yields Buffers; its type says `any`.
          const piece = chunk as Buffer
          bytes += piece.length
          if (bytes > mostAnswerBytes)
            throw new SourceFault('wrong', `${name} answered more than ${mostAnswerBytes / 1024} KiB to one question`)
          chunks.push(piece)
        }
        return { status: response.statusCode, body: parse(Buffer.concat(chunks)) }
      } catch (error) {
        throw error instanceof SourceFault ? error : connectionFault(name, error, signal)
      }
    },
    async close(): Promise<void> {
      await agent?.agent.destroy()
      agent = null
    },
  }
}

function parse(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8'), keepNumber)
  } catch {
    return null
  }
}

/** Codes of OpenSSL and of Node.js that say that a certificate was not accepted. */
const tlsCodes = /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH)/

function connectionFault(name: string, error: unknown, signal: AbortSignal): SourceFault {
  if (signal.aborted) return new SourceFault('unavailable', `${name} gave no answer in time`)
  const code = errorCode(error) ?? 'unknown error'
  if (tlsCodes.test(code))
    return new SourceFault(
      'unavailable',
      `${name} cannot be asked: its certificate was not accepted (${code}); name the authority that signed it by \`ca\``,
    )
  return new SourceFault('unavailable', `${name} cannot be reached (${code})`)
}
