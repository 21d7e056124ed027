// Checks certificates and keys as PEM text. Pure; no message holds any part of a key.

import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { Parsed } from '../units.ts'
import { endingText, instantText } from './instants.ts'

const certificateBlock = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g

/** PEM text of one or more certificates, checked. */
export function parseAuthorities(pem: string): Parsed<string> {
  const blocks = pem.match(certificateBlock) ?? []
  if (blocks.length === 0) return { error: 'it holds no PEM certificate (-----BEGIN CERTIFICATE-----)' }
  const broken = blocks.findIndex((block) => readCertificate(block) === null)
  return broken < 0 ? { value: pem } : { error: `certificate ${broken + 1} of ${blocks.length} in it is damaged` }
}

/** A certificate chain and its key as PEM text, and when it ends: its first certificate, or the one in it that issued the first. */
export interface ServerCertificate {
  readonly cert: string
  readonly key: string
  readonly endsAtMs: number
}

/** What is wrong with a server's certificate, and in which of its two files. */
export interface CertificateFault {
  readonly part: 'cert' | 'key'
  readonly message: string
}

/** A server certificate chain and its key, if clients could accept it now. */
export function parseServerCertificate(
  certPem: string,
  keyPem: string,
  nowMs: number,
): { readonly certificate: ServerCertificate } | { readonly fault: CertificateFault } {
  const chain = parseAuthorities(certPem)
  if ('error' in chain) return { fault: { part: 'cert', message: chain.error } }
  const noKey = faultOfKey(keyPem)
  if (noKey !== null) return { fault: noKey }
  const [certificate = null, issuing = null] = pathIn(certPem)
  const key = readKey(keyPem)
  if (certificate === null || key === null || !certificate.checkPrivateKey(key))
    return { fault: { part: 'key', message: 'the private key does not belong to the certificate' } }
  const message = whyPathNotAccepted(certPem, nowMs) ?? whyNotUsable(certPem, keyPem)
  if (message !== null) return { fault: { part: 'cert', message } }
  const endsAtMs = Math.min(endOf(certificate), issuing === null ? Number.POSITIVE_INFINITY : endOf(issuing))
  return { certificate: { cert: certPem, key: keyPem, endsAtMs } }
}

/** What is wrong with a chain, as far as it can be said without its key. */
export function faultOfCertificate(certPem: string, nowMs: number): CertificateFault | null {
  const chain = parseAuthorities(certPem)
  if ('error' in chain) return { part: 'cert', message: chain.error }
  const message = whyPathNotAccepted(certPem, nowMs)
  return message === null ? null : { part: 'cert', message }
}

/** What is wrong with a key, as far as it can be said without its certificate. */
export function faultOfKey(keyPem: string): CertificateFault | null {
  if (readKey(keyPem) !== null) return null
  return { part: 'key', message: 'it holds no usable PEM private key (one with a passphrase is not supported)' }
}

const endOf = ({ validToDate }: X509Certificate): number => validToDate.getTime()

/**
 * The first certificate, and the one in the chain that issued it. Clients know other paths from there on at best: one further up may
 * have ended, and the chain is accepted.
 */
function pathIn(certPem: string): readonly X509Certificate[] {
  const [first, ...others] = (certPem.match(certificateBlock) ?? []).flatMap((block) => readCertificate(block) ?? [])
  if (first === undefined) return []
  const issuing = others.find((other) => first.checkIssued(other))
  return issuing === undefined ? [first] : [first, issuing]
}

/** Server authentication, and any purpose (RFC 5280, section 4.2.1.12). */
const serverPurposes = ['1.3.6.1.5.5.7.3.1', '2.5.29.37.0']

function whyPathNotAccepted(certPem: string, nowMs: number): string | null {
  const [certificate, issuing] = pathIn(certPem)
  if (certificate === undefined) return null
  const own = whyNotNow('the certificate', certificate, nowMs) ?? whyNotForServers(certificate)
  if (own !== null || issuing === undefined) return own
  return whyNotNow('the certificate in the chain that issued the first', issuing, nowMs)
}

function whyNotNow(what: string, { validFromDate, validToDate }: X509Certificate, nowMs: number): string | null {
  if (nowMs >= validToDate.getTime()) return `${what} ended at ${instantText(validToDate.getTime())}: renew it`
  if (nowMs < validFromDate.getTime())
    return `${what} begins at ${instantText(validFromDate.getTime())}: use one that is valid now, or set the clock`
  return null
}

function whyNotForServers({ keyUsage }: X509Certificate): string | null {
  // Despite its name this is the list of extended purposes; undefined where the certificate does not limit them.
  const purposes = keyUsage as readonly string[] | undefined
  if (purposes !== undefined && !purposes.some((purpose) => serverPurposes.includes(purpose)))
    return 'the certificate is not for servers: its extended key usage lacks serverAuth'
  return null
}

/** Whatever else the TLS library refuses: a key that is too short, a digest that is too weak. */
function whyNotUsable(cert: string, key: string): string | null {
  try {
    createSecureContext({ cert, key })
    return null
  } catch (error) {
    return `the TLS library refuses it: ${error instanceof Error && 'reason' in error ? String(error.reason) : 'no reason is known'}`
  }
}

/** A sentence about a certificate that ends soon or has ended; null for any other. */
export function certificateWarning({ endsAtMs }: ServerCertificate, nowMs: number): string | null {
  const ending = endingText(endsAtMs, nowMs)
  if (ending === null) return null
  return `the certificate ${ending}: ${nowMs < endsAtMs ? 'renew it' : 'clients refuse the connection until it is renewed'}`
}

function readCertificate(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem)
  } catch {
    return null
  }
}

function readKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem)
  } catch {
    return null
  }
}
