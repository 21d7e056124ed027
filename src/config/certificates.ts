// Certificates and keys named in the configuration: is the text usable? Pure; no message holds any part of a key.

import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import type { Parsed } from './units.ts'

const certificateBlock = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g

/** PEM text of one or more certificates, checked. */
export function parseAuthorities(pem: string): Parsed<string> {
  const blocks = pem.match(certificateBlock) ?? []
  if (blocks.length === 0) return { error: 'it holds no PEM certificate (-----BEGIN CERTIFICATE-----)' }
  const broken = blocks.findIndex((block) => readCertificate(block) === null)
  return broken < 0 ? { value: pem } : { error: `certificate ${broken + 1} of ${blocks.length} in it is damaged` }
}

/** What is wrong with a server certificate chain and its key, and in which of the two files; null when they fit. */
export function parseServerCertificate(
  certPem: string,
  keyPem: string,
): { readonly part: 'cert' | 'key'; readonly message: string } | null {
  const chain = parseAuthorities(certPem)
  if ('error' in chain) return { part: 'cert', message: chain.error }
  const certificate = readCertificate(certPem.match(certificateBlock)?.[0] ?? '')
  const key = readKey(keyPem)
  if (key === null)
    return { part: 'key', message: 'it holds no usable PEM private key (one with a passphrase is not supported)' }
  return certificate?.checkPrivateKey(key) === true
    ? null
    : { part: 'key', message: 'the private key does not belong to the certificate' }
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
