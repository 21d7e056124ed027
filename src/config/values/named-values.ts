// Reads what settings of config/gateway.yaml name: authorities, secrets, certificates; reports what cannot be used, at the setting.

import type { Diagnostic } from '../diagnostics.ts'
import type { TlsFiles } from '../schema.ts'
import type { Parsed } from '../units.ts'
import type { Path } from '../yaml/document.ts'
import { certificateWarning, parseAuthorities } from './certificates.ts'
import { openToOthers } from './file-errors.ts'
import { loadServerCertificate, readText } from './files.ts'

type Report = (path: Path, message: string, severity?: Diagnostic['severity']) => void
type Environment = Readonly<Record<string, string | undefined>>

/** Reports why a value behind a setting cannot be used; `outOfReach`: because it is missing here. */
export type ReportRead = (at: Path, message: string, outOfReach: boolean) => void

/** PEM text of authorities, or null when it cannot be used, which is reported. */
export async function readAuthorities(file: string, at: Path, report: ReportRead): Promise<string | null> {
  const text = await readText(file)
  const authorities: Parsed<string> = 'error' in text ? text : parseAuthorities(text.value)
  if ('value' in authorities) return authorities.value
  report(at, `${file}: ${authorities.error}`, 'error' in text && text.outOfReach)
  return null
}

/** The value behind a reference; empty when it cannot be read, which is reported; null without a reference. */
export async function readReference(
  reference: { readonly env?: string | undefined; readonly file?: string | undefined } | undefined,
  what: string,
  at: Path,
  absolute: (path: string) => string,
  env: Environment,
  report: Report,
  reportRead: ReportRead,
): Promise<string | null> {
  if (reference?.env !== undefined) {
    const { env: name } = reference
    const value = (Object.hasOwn(env, name) ? env[name] : undefined) ?? ''
    if (value === '')
      reportRead([...at, 'env'], `the environment variable ${name} is not set: it should hold the ${what}`, true)
    return value
  }
  if (reference?.file === undefined) return null
  const file = absolute(reference.file)
  const text = await readText(file)
  const value = 'error' in text ? '' : text.value.replace(/\r?\n$/, '')
  if ('error' in text) reportRead([...at, 'file'], `${file}: ${text.error}`, text.outOfReach)
  else if (value === '') reportRead([...at, 'file'], `${file}: it is empty`, false)
  else await warnIfOpen([...at, 'file'], file, report)
  return value
}

/** The files of a certificate; what is wrong with them is reported. */
export async function checkTls(
  name: 'tls' | 'admin_tls',
  written: { cert: string; key: string } | undefined,
  absolute: (path: string) => string,
  report: Report,
  reportRead: ReportRead,
): Promise<TlsFiles | null> {
  if (written === undefined) return null
  const files: TlsFiles = { certFile: absolute(written.cert), keyFile: absolute(written.key) }
  const nowMs = Date.now()
  const loaded = await loadServerCertificate(files, nowMs)
  if ('faults' in loaded)
    for (const { part, message, outOfReach } of loaded.faults) reportRead(['listen', name, part], message, outOfReach)
  else {
    const warning = certificateWarning(loaded.certificate, nowMs)
    if (warning !== null) report(['listen', name, 'cert'], `${files.certFile}: ${warning}`, 'warning')
    await warnIfOpen(['listen', name, 'key'], files.keyFile, report)
  }
  return files
}

/** Warns of a file with a secret that others on this machine can read. */
async function warnIfOpen(at: Path, file: string, report: Report): Promise<void> {
  const text = await openToOthers(file)
  if (text !== null) report(at, text, 'warning')
}
