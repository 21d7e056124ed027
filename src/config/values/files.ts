// Reads files that the configuration names: texts, and the certificate of the callers' listener.

import { readFile } from 'node:fs/promises'
import { whyUnreadable } from './file-errors.ts'
import { parseServerCertificate, type CertificateFault, type ServerCertificate } from './certificates.ts'
import type { TlsFiles } from '../schema.ts'
import type { Parsed } from '../units.ts'

/** The text of a UTF-8 file, or why there is none. */
export async function readText(file: string): Promise<Parsed<string>> {
  try {
    return { value: new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file)) }
  } catch (error) {
    return { error: whyUnreadable(error) }
  }
}

/** The certificate and its key as they are on disk now, or what is wrong with them. */
export async function loadServerCertificate(
  { certFile, keyFile }: TlsFiles,
  nowMs: number,
): Promise<{ readonly certificate: ServerCertificate } | { readonly faults: readonly CertificateFault[] }> {
  const [cert, key] = await Promise.all([readText(certFile), readText(keyFile)])
  if ('error' in cert || 'error' in key) {
    return {
      faults: [
        ...('error' in cert ? [{ part: 'cert' as const, message: `${certFile}: ${cert.error}` }] : []),
        ...('error' in key ? [{ part: 'key' as const, message: `${keyFile}: ${key.error}` }] : []),
      ],
    }
  }
  const parsed = parseServerCertificate(cert.value, key.value, nowMs)
  if ('certificate' in parsed) return parsed
  const { part, message } = parsed.fault
  return { faults: [{ part, message: `${part === 'cert' ? certFile : keyFile}: ${message}` }] }
}
