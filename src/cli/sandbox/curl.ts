// What curl needs to trust the sandbox: with a certificate of the configuration its file, and a name that it holds.

import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { shellWord } from '../../policy/tools/shell-word.ts'
import type { Sandbox } from '../../sandbox/sandbox.ts'

export interface CurlTrust {
  readonly address: string
  /** To put behind `curl`; empty without a certificate. */
  readonly options: string
}

/** How a request on this machine reaches the callers' listener. */
export function trustOf({ addresses, config }: Pick<Sandbox, 'addresses' | 'config'>): CurlTrust {
  const address = addresses.gateway
  const { tls } = config.listen
  if (tls === null) return { address, options: '' }
  const trusted = ` --cacert ${shellWord(tls.certFile)}`
  const { hostname, port } = new URL(address)
  const name = nameFor(new X509Certificate(readFileSync(tls.certFile)), hostname)
  if (name === null) return { address, options: trusted }
  const resolved = name === 'localhost' ? '' : ` --resolve ${name}:${port}:${hostname}`
  return { address: `https://${name}:${port}`, options: `${trusted}${resolved}` }
}

/** A name of the certificate, where it does not hold the address itself; null where it does, or holds none. */
function nameFor(certificate: X509Certificate, hostname: string): string | null {
  if (certificate.checkIP(hostname) !== undefined) return null
  const name = /DNS:([^,\s]+)/.exec(certificate.subjectAltName ?? '')?.[1]
  return name === undefined ? null : name.replace(/^\*\./, 'gateway.')
}
