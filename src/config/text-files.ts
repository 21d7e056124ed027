// Files that the configuration names, read as text; and the certificate of the callers' listener, which is read again while
// the gateway runs. Used by load.ts and the runtime.

import { readFile } from 'node:fs/promises'
import { parseServerCertificate } from './certificates.ts'
import type { TlsFiles } from './schema.ts'
import type { Parsed } from './units.ts'

const plainErrors: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ERR_ENCODING_INVALID_ENCODED_DATA: 'it is not UTF-8 text',
}

/** The text of a UTF-8 file, or why there is none. */
export async function readText(file: string): Promise<Parsed<string>> {
  try {
    return { value: new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file)) }
  } catch (error) {
    return { error: whyUnreadable(error) }
  }
}

/** Why a file cannot be read, in a few words. */
export function whyUnreadable(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
  return plainErrors[code] ?? code
}

/** What is wrong with a certificate and its key as they are on disk now, and in which file; empty when they can be used. */
export async function certificateFaults({
  certFile,
  keyFile,
}: TlsFiles): Promise<readonly { readonly part: 'cert' | 'key'; readonly message: string }[]> {
  const [cert, key] = await Promise.all([readText(certFile), readText(keyFile)])
  if ('error' in cert || 'error' in key) {
    return [
      ...('error' in cert ? [{ part: 'cert' as const, message: `${certFile}: ${cert.error}` }] : []),
      ...('error' in key ? [{ part: 'key' as const, message: `${keyFile}: ${key.error}` }] : []),
    ]
  }
  const fault = parseServerCertificate(cert.value, key.value)
  if (fault === null) return []
  return [{ part: fault.part, message: `${fault.part === 'cert' ? certFile : keyFile}: ${fault.message}` }]
}
