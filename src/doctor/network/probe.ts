// One connection to a server, step by step: name, connection, TLS, an answer. Each step says how far it came.
// It goes on with a certificate that is not trusted, because what answers tells its clock. Nothing secret is sent then.

import { lookup } from 'node:dns/promises'
import { request } from 'node:http'
import { connect, isIP, type Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls, type DetailedPeerCertificate, type TLSSocket } from 'node:tls'

export interface ProbeTarget {
  readonly host: string
  readonly port: number
  /** PEM text of the authorities to trust, null for the system's; or null for no TLS. */
  readonly tls: { readonly ca: string | null } | null
  /** The only address to connect to, in place of those of the name. */
  readonly address?: string
}

export interface ProbeRequest {
  readonly path: string
  /** A bearer token. Nothing is asked with one where the certificate is not trusted. */
  readonly token?: string
}

export type ProbeStep = 'name' | 'connection' | 'tls' | 'answer'

/** A step that failed. `code` is that of Node.js or OpenSSL, or `LATE`. */
export interface ProbeFault {
  readonly step: ProbeStep
  readonly code: string
}

export interface ServedCertificate {
  /** Common name, else the first name that it is for. */
  readonly subject: string
  readonly issuer: string
  readonly names: string
  readonly fromMs: number
  readonly toMs: number
  /** SHA-256, in hexadecimal. */
  readonly fingerprint: string
}

export interface ProbeAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** The beginning of the body. */
  readonly body: string
  /** When it came, milliseconds since the epoch. */
  readonly atMs: number
}

export interface Probe {
  readonly addresses: readonly string[]
  /** Addresses that take no connection, while another one does. */
  readonly silent: readonly { readonly address: string; readonly code: string }[]
  /** From the server's own up to the root, as far as known; empty without TLS. */
  readonly chain: readonly ServedCertificate[]
  readonly tlsVersion: string | null
  /** Why the certificate is not accepted. What was asked has been answered nevertheless: it tells the server's clock. */
  readonly distrust: string | null
  readonly fault: ProbeFault | null
  readonly answer: ProbeAnswer | null
}

const mostBodyBytes = 256 * 1024

/** The parts of an address as a probe wants them. */
export function probeTargetOf(url: URL, ca: string | null): ProbeTarget {
  const isSecure = url.protocol === 'https:'
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (isSecure ? 443 : 80) : Number(url.port),
    tls: isSecure ? { ca } : null,
  }
}

/** Never rejects. Without a request it ends where a request could be sent. */
export async function probe(target: ProbeTarget, asked: ProbeRequest | null, signal: AbortSignal): Promise<Probe> {
  const nothing = { addresses: [], silent: [], chain: [], tlsVersion: null, distrust: null, fault: null, answer: null }
  const { host, tls } = target
  const addresses = await addressesOf(target, signal)
  if (!Array.isArray(addresses)) return { ...nothing, fault: addresses }
  const found = { ...nothing, addresses }
  const { socket, silent, fault } = await connectAny(addresses, target.port, signal)
  if (socket === null) return { ...found, silent, fault }
  const abort = (): void => void socket.destroy()
  signal.addEventListener('abort', abort)
  try {
    const secured = tls === null ? null : await secure(socket, host, tls.ca, signal)
    if (secured !== null && 'step' in secured) return { ...found, silent, fault: secured }
    const seen = { ...found, silent, ...(secured === null ? {} : certificatesOf(secured, host)) }
    if (asked === null || (asked.token !== undefined && seen.distrust !== null)) return seen
    const answer = await ask(secured ?? socket, target, asked, signal)
    return 'step' in answer ? { ...seen, fault: answer } : { ...seen, answer }
  } finally {
    signal.removeEventListener('abort', abort)
    socket.destroy()
  }
}

async function addressesOf({ host, address }: ProbeTarget, signal: AbortSignal): Promise<string[] | ProbeFault> {
  if (address !== undefined) return [address]
  if (isIP(host) !== 0) return [host]
  const found = await orLate(
    'name',
    lookup(host, { all: true }).then((all) => [...new Set(all.map((each) => each.address))]),
    signal,
  )
  return found
}

/** A lookup cannot be stopped, so it is left behind. */
async function orLate<T>(step: ProbeStep, work: Promise<T>, signal: AbortSignal): Promise<T | ProbeFault> {
  const late = new Promise<ProbeFault>((resolve) => {
    if (signal.aborted) resolve({ step, code: 'LATE' })
    signal.addEventListener('abort', () => resolve({ step, code: 'LATE' }), { once: true })
  })
  return await Promise.race([work.catch((error: unknown) => ({ step, code: codeOf(error) })), late])
}

/** Connects to all addresses, so that one that is silent shows although another answers. The first that answers is kept. */
async function connectAny(addresses: readonly string[], port: number, signal: AbortSignal) {
  const all = await Promise.all(
    addresses.map(async (address) => ({ address, opened: await open(address, port, signal) })),
  )
  const silent: { address: string; code: string }[] = []
  let socket: Socket | null = null
  for (const { address, opened } of all)
    if ('step' in opened) silent.push({ address, code: opened.code })
    else if (socket === null) socket = opened
    else opened.destroy()
  // A machine without IPv6 cannot reach addresses of it, and need not.
  const isOfOtherFamily = ({ address, code }: { address: string; code: string }): boolean =>
    isIP(address) === 6 && ['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(code)
  const fault: ProbeFault = {
    step: 'connection',
    code: silent.find((each) => !isOfOtherFamily(each))?.code ?? silent[0]?.code ?? 'LATE',
  }
  return socket === null
    ? { socket, silent, fault }
    : { socket, silent: silent.filter((each) => !isOfOtherFamily(each)), fault: null }
}

function open(host: string, port: number, signal: AbortSignal): Promise<Socket | ProbeFault> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const abort = (): void => settle({ step: 'connection', code: 'LATE' })
    const settle = (result: Socket | ProbeFault): void => {
      signal.removeEventListener('abort', abort)
      if ('step' in result) socket.destroy()
      resolve(result)
    }
    // The listener stays: an error that nobody hears would end the process.
    socket.on('error', (error) => settle({ step: 'connection', code: codeOf(error) }))
    socket.once('connect', () => settle(socket))
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}

function secure(socket: Socket, host: string, ca: string | null, signal: AbortSignal): Promise<TLSSocket | ProbeFault> {
  return new Promise((resolve) => {
    const secured = connectTls({
      socket,
      host,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(ca === null ? {} : { ca }),
      // The certificate is judged below, before anything secret is sent.
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
    })
    const fail = (code: string): void => resolve({ step: 'tls', code })
    secured.on('error', (error) => fail(signal.aborted ? 'LATE' : codeOf(error)))
    secured.once('close', () => fail(signal.aborted ? 'LATE' : 'ECONNRESET'))
    secured.once('secureConnect', () => resolve(secured))
  })
}

function certificatesOf(socket: TLSSocket, host: string): Pick<Probe, 'chain' | 'tlsVersion' | 'distrust'> {
  const own = socket.getPeerCertificate(true)
  const chain: ServedCertificate[] = []
  for (let each: DetailedPeerCertificate | undefined = own; each !== undefined && Object.keys(each).length > 0;) {
    chain.push(servedCertificate(each))
    const above: DetailedPeerCertificate | undefined = each.issuerCertificate
    // The root is signed by itself.
    each = above === each || above?.fingerprint256 === each.fingerprint256 ? undefined : above
  }
  // With a chain that is not trusted Node.js does not look at the name.
  const isOtherName = chain.length > 0 && checkServerIdentity(host, own) !== undefined
  const refused: unknown = socket.authorizationError
  const distrust = socket.authorized ? null : refused instanceof Error ? codeOf(refused) : String(refused)
  return {
    chain,
    tlsVersion: socket.getProtocol(),
    distrust: distrust ?? (isOtherName ? 'ERR_TLS_CERT_ALTNAME_INVALID' : null),
  }
}

function servedCertificate(certificate: DetailedPeerCertificate): ServedCertificate {
  const { subject, issuer, subjectaltname, valid_from: from, valid_to: to, fingerprint256 } = certificate
  const names = (subjectaltname ?? '').replaceAll(/(?:DNS|IP Address):/g, '')
  const first = (name: string | string[] | undefined): string | undefined => (Array.isArray(name) ? name[0] : name)
  return {
    subject: first(subject?.CN) ?? names.split(', ')[0] ?? 'a certificate without a name',
    issuer: first(issuer?.CN) ?? first(issuer?.O) ?? 'unknown',
    names,
    fromMs: Date.parse(from),
    toMs: Date.parse(to),
    fingerprint: fingerprint256,
  }
}

function ask(
  socket: Socket,
  { host, port, tls }: ProbeTarget,
  { path, token }: ProbeRequest,
  signal: AbortSignal,
): Promise<ProbeAnswer | ProbeFault> {
  return new Promise((resolve) => {
    const fail = (error: unknown): void => resolve({ step: 'answer', code: signal.aborted ? 'LATE' : codeOf(error) })
    const usualPort = tls === null ? 80 : 443
    const name = host.includes(':') ? `[${host}]` : host
    const sent = request({
      createConnection: () => socket,
      path,
      headers: {
        host: port === usualPort ? name : `${name}:${port}`,
        accept: 'application/json',
        'accept-encoding': 'identity',
        'user-agent': 'devin-gateway',
        connection: 'close',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
    })
    sent.on('error', fail)
    sent.on('response', (response) => {
      const atMs = Date.now()
      const chunks: Buffer[] = []
      let bytes = 0
      const end = (): void =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString('utf8', 0, mostBodyBytes),
          atMs,
        })
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        bytes += chunk.length
        if (bytes < mostBodyBytes) return
        end()
        response.destroy()
      })
      response.on('end', end)
      response.on('error', fail)
    })
    sent.end()
  })
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
