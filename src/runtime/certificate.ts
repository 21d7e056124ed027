// The certificate of a listener while the gateway runs: reloads it on demand, and warns before it ends.

import { certificateWarning, type ServerCertificate } from '../config/values/certificates.ts'
import { loadServerCertificate } from '../config/values/files.ts'
import type { TlsFiles } from '../config/schema.ts'
import type { Core } from './core.ts'

const settings = { gateway: 'listen.tls', admin: 'listen.admin_tls' } as const

/** Reads the certificate of a listener; `tls` is null where it has none. Throws when it cannot be used. */
async function openCertificate({ instruments, log, now }: Core, listener: keyof typeof settings, tls: TlsFiles | null) {
  const setting = settings[listener]
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
    return text === null ? null : `${setting}.cert: ${text}`
  }
  /** Loads the files; the certificate before stays when they cannot be used. */
  async function load(): Promise<readonly string[]> {
    if (tls === null) return []
    const loaded = await loadServerCertificate(tls, now())
    if ('faults' in loaded) return loaded.faults.map(({ part, message }) => `${setting}.${part}: ${message}`)
    current = loaded.certificate
    instruments.certificateExpires(listener, current.endsAtMs)
    return []
  }

  const faults = await load()
  if (faults.length > 0) throw new Error(faults.join('\n'))
  look()
  const timer = setInterval(look, 3_600_000).unref()
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

type CertificateInUse = Awaited<ReturnType<typeof openCertificate>>

export type Certificates = Awaited<ReturnType<typeof openCertificates>>

/** Takes a renewed certificate. */
interface Renewable {
  useCertificate(certificate: ServerCertificate): void
}

/** Reads the certificates of the callers' and the operators' listener, which may be the same one. */
export async function openCertificates(core: Core) {
  const { tls, adminTls } = core.config.listen
  const isShared = tls !== null && adminTls?.certFile === tls.certFile && adminTls.keyFile === tls.keyFile
  const gateway = await openCertificate(core, 'gateway', tls)
  const own = isShared ? null : await openCertificate(core, 'admin', adminTls)
  const all: readonly CertificateInUse[] = [gateway, ...(own === null ? [] : [own])]
  return {
    get gateway(): ServerCertificate | null {
      return gateway.current
    },
    get admin(): ServerCertificate | null {
      return (own ?? gateway).current
    },
    /** When the first of them ends; never where there is none. */
    get endsAtMs(): number {
      return Math.min(...all.map(({ current }) => current?.endsAtMs ?? Number.POSITIVE_INFINITY))
    },
    get notes(): readonly string[] {
      return all.flatMap(({ notes }) => notes)
    },
    async renew(app: Renewable, admin: Renewable): Promise<readonly string[]> {
      const use = (certificate: ServerCertificate): void => {
        app.useCertificate(certificate)
        if (isShared) admin.useCertificate(certificate)
      }
      const kept = await gateway.renew(use)
      return [...kept, ...((await own?.renew((certificate) => admin.useCertificate(certificate))) ?? [])]
    },
    stop: (): void => all.forEach(({ stop }) => stop()),
  }
}
