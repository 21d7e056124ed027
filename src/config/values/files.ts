// Reads files that the configuration names: texts, and the certificate of the callers' listener. Notices that some have changed.

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { isOutOfReach, whyUnreadable } from './file-errors.ts'
import {
  faultOfCertificate,
  faultOfKey,
  parseServerCertificate,
  type CertificateFault,
  type ServerCertificate,
} from './certificates.ts'
import type { TlsFiles } from '../schema.ts'

/** `outOfReach`: the file is missing, or for another user; it may be there where the gateway runs. */
export type ReadText = { readonly value: string } | { readonly error: string; readonly outOfReach: boolean }

/** The text of a UTF-8 file, or why there is none. */
export async function readText(file: string): Promise<ReadText> {
  try {
    return { value: new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file)) }
  } catch (error) {
    return { error: whyUnreadable(error), outOfReach: isOutOfReach(error) }
  }
}

/** A fault of the certificate or of the key on disk. `outOfReach` as of a text. */
export interface CertificateFileFault extends CertificateFault {
  readonly outOfReach: boolean
}

/** The certificate and its key as they are on disk now, or what is wrong with them. */
export async function loadServerCertificate(
  { certFile, keyFile }: TlsFiles,
  nowMs: number,
): Promise<{ readonly certificate: ServerCertificate } | { readonly faults: readonly CertificateFileFault[] }> {
  const [cert, key] = await Promise.all([readText(certFile), readText(keyFile)])
  const faultIn = ({ part, message }: CertificateFault, outOfReach: boolean): CertificateFileFault => ({
    part,
    message: `${part === 'cert' ? certFile : keyFile}: ${message}`,
    outOfReach,
  })
  if ('value' in cert && 'value' in key) {
    const parsed = parseServerCertificate(cert.value, key.value, nowMs)
    return 'certificate' in parsed ? parsed : { faults: [faultIn(parsed.fault, false)] }
  }
  // Each of the two can be checked without the other.
  const ofCert =
    'value' in cert ? faultOfCertificate(cert.value, nowMs) : ({ part: 'cert', message: cert.error } as const)
  const ofKey = 'value' in key ? faultOfKey(key.value) : ({ part: 'key', message: key.error } as const)
  return {
    faults: [
      ...(ofCert === null ? [] : [faultIn(ofCert, 'error' in cert && cert.outOfReach)]),
      ...(ofKey === null ? [] : [faultIn(ofKey, 'error' in key && key.outOfReach)]),
    ],
  }
}

/** Remembers what files hold now. Returns what names those that hold something else by then, or cannot be read any more. */
export async function rememberFiles(files: readonly string[]): Promise<() => Promise<readonly string[]>> {
  const first = await Promise.all(files.map(digestOf))
  return async () => {
    const now = await Promise.all(files.map(digestOf))
    return files.filter((_, index) => now[index] !== first[index])
  }
}

/** Of the content; empty for a file that cannot be read. A digest, because some of the files hold secrets. */
async function digestOf(file: string): Promise<string> {
  return await readFile(file).then(
    (content) => createHash('sha256').update(content).digest('hex'),
    () => '',
  )
}
