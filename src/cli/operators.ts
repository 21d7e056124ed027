// How commands reach the operators' listener of the gateway that runs this configuration, and sign in where it needs a login.

import { readFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { X509Certificate } from 'node:crypto'
import { Agent, fetch as fetchWith } from 'undici'
import { memberOf } from '../json/untyped.ts'
import type { Config } from '../config/load.ts'
import { readInput } from './input.ts'
import type { Invocation } from './invocation.ts'

export const operatorTokenVariable = 'GATEWAY_OPERATOR_TOKEN'
const mostTokenBytes = 64 * 1024

export const operatorOption = {
  'operator-token': {
    type: 'string',
    help: `file with a token for the operators' listener, or - for standard input (default: the value of ${operatorTokenVariable})`,
  },
} as const

/** The listener wants a login, or another role: a sentence that says what to do. */
export class OperatorsRefused extends Error {
  override readonly name = 'OperatorsRefused'
}

export type OperatorsAsker = Pick<Invocation, 'env' | 'option'>

export interface Operators {
  readonly address: string
  /**
   * The answer to a request; null where nothing answers. Rejects with a sentence where the listener wants a login or another
   * role.
   */
  ask(path: string, init?: RequestInit): Promise<Response | null>
  /** Like `ask`, and rejects with the error of the connection where nothing answers. */
  send(path: string, init?: RequestInit): Promise<Response>
  /** Like `ask` within a time, and rejects with what to do where nothing answers. */
  demand(path: string, withinMs: number, init?: RequestInit): Promise<Response>
}

/** Address of the listener; one on all addresses is reached over loopback. */
function adminAddress({ admin: { host, port }, adminTls }: Config['listen']): string {
  const reached = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `${adminTls === null ? 'http' : 'https'}://${reached.includes(':') ? `[${reached}]` : reached}:${port}`
}

export function operatorsOf({ admin, listen }: Config, asker: OperatorsAsker): Operators {
  const address = adminAddress(listen)
  let token: Promise<string | null> | null = null

  async function send(path: string, init: RequestInit = {}): Promise<Response> {
    const value = await (token ??= readOperatorToken(asker))
    const headers = new Headers(init.headers)
    if (value !== null) headers.set('authorization', `Bearer ${value}`)
    const whole = { ...init, headers, redirect: 'error' } as const
    const response =
      listen.adminTls === null
        ? await fetch(`${address}${path}`, whole)
        : await fetchPinned(`${address}${path}`, whole, listen.adminTls.certFile)
    if (response.status === 401 || response.status === 403) throw new OperatorsRefused(await refusalOf(response))
    return response
  }

  async function refusalOf(response: Response): Promise<string> {
    const answer: unknown = await response.json().catch(() => null)
    const said = memberOf(answer, 'error')
    const why = typeof said === 'string' ? said : `it answered ${response.status}`
    if (response.status === 403) return `the running gateway at ${address} refused: ${why}`
    const issuer = admin.auth === null ? 'its issuer' : admin.auth.issuer.issuer
    return asker.option('operator-token') === null && asker.env[operatorTokenVariable] === undefined
      ? `the running gateway at ${address} needs a login: give a token of ${issuer} with --operator-token FILE (- for standard input), or in ${operatorTokenVariable}`
      : `the running gateway at ${address} did not accept the token: ${why}`
  }

  async function ask(path: string, init?: RequestInit): Promise<Response | null> {
    await (token ??= readOperatorToken(asker))
    return await send(path, init).catch((error: unknown) => {
      if (error instanceof OperatorsRefused) throw error
      return null
    })
  }
  async function demand(path: string, withinMs: number, init: RequestInit = {}): Promise<Response> {
    const response = await ask(path, { ...init, signal: AbortSignal.timeout(withinMs) })
    if (response === null) throw unreachable(address)
    return response
  }

  return { address, send, ask, demand }
}

/** The token of the option or of the environment; null without one. */
export async function readOperatorToken({ env, option }: OperatorsAsker): Promise<string | null> {
  const file = option('operator-token')
  const text = file === null ? (env[operatorTokenVariable] ?? '') : await readInput(file, mostTokenBytes)
  const value = text.trim()
  if (file !== null && value === '')
    throw new Error(`--operator-token: ${file === '-' ? 'standard input' : file} is empty`)
  // A token that breaks a header field would be told in an error of Node.js, with its value.
  if (/[^\x21-\x7e]/.test(value))
    throw new Error("the token for the operators' listener holds characters that no token has")
  return value === '' ? null : value
}

/** The certificate has to be the configured one itself: the address of this machine need not stand in it. */
async function fetchPinned(url: string, init: RequestInit, certFile: string): Promise<Response> {
  const certificate = new X509Certificate(await readFile(certFile))
  const name = /DNS:([^,\s"]+)/.exec(certificate.subjectAltName ?? '')?.[1]?.replace('*', 'console')
  const dispatcher = new Agent({
    connect: {
      // The first of the file is the listener's own: no other is trusted.
      ca: certificate.toString(),
      allowPartialTrustChain: true,
      rejectUnauthorized: true,
      ...(name === undefined ? {} : { servername: name }),
    },
  })
  try {
    const response = await fetchWith(url, { ...init, dispatcher } as Parameters<typeof fetchWith>[1])
    // Read whole, because the connection ends with this call.
    const body = await response.arrayBuffer()
    return new Response(response.status === 204 ? null : body, {
      status: response.status,
      headers: Object.fromEntries(response.headers),
    })
  } finally {
    await dispatcher.destroy()
  }
}

/** The account of the operating system; a statement, not a proof. */
export function whoAsks(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run under a number without a name.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}

/** That nobody answers at the operators' listener, and what to do. */
export function unreachable(address: string): Error {
  return new Error(
    `the running gateway could not be asked at ${address}: start it, or name the configuration that it runs with --config`,
  )
}
