// The certificate of the callers' listener while the gateway runs: reloads it on demand, and warns before it ends.

import { certificateWarning, type ServerCertificate } from '../config/values/certificates.ts'
import { loadServerCertificate } from '../config/values/files.ts'
import type { Core } from './core.ts'

/** Reads the certificate, where one is configured. Throws when it cannot be used. */
export async function openCertificate({ config, instruments, log, now }: Core) {
  const { tls } = config.listen
  let current: ServerCertificate | null = null
  let warned: string | null = null
  /** Why the files as they were read last cannot be used. */
  let kept: readonly string[] = []

  /** Warns once a day, and once when the certificate has ended. */
  function look(): void {
    const text = warning()
    if (text !== null && text !== warned) log.warn({ event: 'certificate-expiry' }, text)
    warned = text
  }
  function warning(): string | null {
    const text = current === null ? null : certificateWarning(current, now())
    return text === null ? null : `listen.tls.cert: ${text}`
  }
  /** Loads the files; the certificate before stays when they cannot be used. */
  async function load(): Promise<readonly string[]> {
    if (tls === null) return []
    const loaded = await loadServerCertificate(tls, now())
    if ('faults' in loaded) return loaded.faults.map(({ part, message }) => `listen.tls.${part}: ${message}`)
    current = loaded.certificate
    instruments.certificateExpires('gateway', current.endsAtMs)
    return []
  }

  const faults = await load()
  if (faults.length > 0) throw new Error(faults.join('\n'))
  look()
  const timer = setInterval(look, 3_600_000)
  timer.unref()
  return {
    get current(): ServerCertificate | null {
      return current
    },
    /** Sentences for operators: it ends soon or has ended, and a renewed one could not be used. */
    get notes(): readonly string[] {
      const text = warning()
      return [
        ...(text === null ? [] : [text]),
        ...(kept.length === 0
          ? []
          : [`the renewed certificate could not be used, and the one before stays in use: ${kept.join('; ')}`]),
      ]
    },
    /** Reads the files again. Returns why the certificate before stays in use; empty when it does not. */
    async renew(use: (certificate: ServerCertificate) => void): Promise<readonly string[]> {
      if (tls === null) return []
      const why = await load()
      kept = why
      instruments.certificateReload(why.length === 0 ? 'read' : 'kept')
      if (why.length === 0 && current !== null) use(current)
      else
        log.error(
          { event: 'certificate', diagnostics: why },
          'the certificate could not be read again; the one before stays in use',
        )
      look()
      return why
    },
    stop: (): void => clearInterval(timer),
  }
}

export type CertificateInUse = Awaited<ReturnType<typeof openCertificate>>
