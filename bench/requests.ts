// The bytes of the requests, made once: both load generators and the check send exactly these.

import { writeFileSync } from 'node:fs'
import { forged, type Caller } from './identity.ts'
import type { RequestSpec } from './workloads.ts'

/** A request on the wire, for one caller. */
export interface WireRequest {
  readonly caller: Caller
  readonly token: string
  readonly target: string
  readonly bytes: string
}

/** One request for each caller of the right kind. */
export function wireRequests(spec: RequestSpec, callers: readonly Caller[]): readonly WireRequest[] {
  const wanted = callers.filter(({ limited }) => limited === (spec.tokens === 'limited'))
  return wanted.map((caller) => {
    const token = spec.tokens === 'forged' ? forged(caller.token) : caller.token
    const target = spec.target.replaceAll('{org}', caller.organization)
    const fields = [
      'Host: api.gateway.corp.example',
      'User-Agent: devin-client/2.1',
      'Accept: application/json',
      `Authorization: Bearer ${token}`,
      'X-Request-Id: 4b1c0f0e-6a0a-4c0e-9a53-8f5f0c7d2b11',
    ]
    if (spec.body !== null) {
      fields.push('Content-Type: application/json', `Content-Length: ${Buffer.byteLength(spec.body)}`)
    }
    const head = `${spec.method} ${target} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n`
    return { caller, token, target, bytes: head + (spec.body ?? '') }
  })
}

/** Writes requests for a generator: for each a line with its length in bytes, then the bytes. */
export function writeRequests(file: string, requests: readonly WireRequest[]): void {
  writeFileSync(file, requests.map(({ bytes }) => `${Buffer.byteLength(bytes)}\n${bytes}`).join(''))
}

/** Reads what `writeRequests` wrote. */
export function parseRequests(content: Buffer): readonly Buffer[] {
  const requests: Buffer[] = []
  let at = 0
  while (at < content.length) {
    const lineEnd = content.indexOf(10, at)
    const length = Number(content.toString('latin1', at, lineEnd))
    requests.push(content.subarray(lineEnd + 1, lineEnd + 1 + length))
    at = lineEnd + 1 + length
  }
  return requests
}
