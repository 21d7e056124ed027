// Parses addresses of the configuration: where to listen, the upstream, the issuers. Pure.

import { BlockList, isIP } from 'node:net'
import { quoted, type Parsed } from '../units.ts'

export interface ListenAddress {
  /** An address or a name; IPv6 without brackets. */
  readonly host: string
  /** 0: any free port. */
  readonly port: number
}

/** What a URL of the configuration looks like: https, or http to loopback. */
export const urlForm =
  /^([Hh][Tt][Tt][Pp][Ss]:\/\/[^/?#\\@\s]+|[Hh][Tt][Tt][Pp]:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?)([/?][^#\\\s]*)?$/
    .source

const listenPattern = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):)?(\d{1,5})$/
/** What an address to listen on looks like. */
export const listenTextForm = listenPattern.source.replace(
  '\\d{1,5}',
  '(?:6553[0-5]|655[0-2]\\d|65[0-4]\\d{2}|6[0-4]\\d{3}|[0-5]?\\d{1,4})',
)
const listenForm = 'write host:port like 0.0.0.0:8080, "[::1]:8080" (in quotes), or a port alone'

/** `host:port`, `[address]:port`, or a port alone, which means the given host. */
export function parseListen(defaultHost: string): (text: string) => Parsed<ListenAddress> {
  return (text) => {
    const [, bracketed, plain, digits = ''] = listenPattern.exec(text) ?? []
    const port = Number(digits)
    if (digits === '') {
      const meant = /^(?:[a-z]+:\/\/)?((?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):\d{1,5})\/?$/
        .exec(text)?.[1]
        ?.replace(/^:/, '')
      const hint = meant === undefined ? '' : `; did you mean "${meant}"?`
      return { error: `${quoted(text)} is not an address to listen on: ${listenForm}${hint}` }
    }
    if (port > 65_535) return { error: `port ${digits} does not exist: ports end at 65535` }
    return { value: { host: bracketed ?? plain ?? defaultHost, port } }
  }
}

interface Network {
  readonly address: string
  readonly bits: number
}

/** What an address or a network looks like. */
export const networkForm = '^[0-9a-fA-F:.]+(/\\d{1,3})?$'

/** `10.0.0.0/8`, `2001:db8::/32`, or an address alone → the address and how many bits of it count. */
export function parseNetwork(text: string): Parsed<Network> {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  const most = family === 6 ? 128 : 32
  const count = bits === undefined ? most : /^\d+$/.test(bits) ? Number(bits) : Number.NaN
  return family !== 0 && rest.length === 0 && count >= 0 && count <= most
    ? { value: { address, bits: count } }
    : { error: `${quoted(text)} is no address and no network: write one like 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32` }
}

/** Whether an address is in one of the networks. */
export function inNetworks(networks: readonly Network[]): (address: string) => boolean {
  if (networks.length === 0) return () => false
  const familyOf = (address: string) => (isIP(address) === 6 ? 'ipv6' : 'ipv4')
  const list = new BlockList()
  for (const { address, bits } of networks) list.addSubnet(address, bits, familyOf(address))
  return (address) => isIP(address) !== 0 && list.check(address, familyOf(address))
}

export interface UpstreamAddress {
  /** Scheme, host and port, as the URL standard writes an origin. */
  readonly origin: string
  /** Empty, or a path that begins with a slash and does not end with one. */
  readonly pathPrefix: string
}

/** The upstream's origin with an optional path prefix. https, or http to loopback. */
export function parseUpstream(text: string): Parsed<UpstreamAddress> {
  const url = parseUrl(text, 'https://api.your-company.devinenterprise.com')
  if ('error' in url) return url
  if (/[?#]/.test(text)) return { error: `${quoted(text)} must not have a query or a fragment` }
  // The path as written: the URL parser would already have resolved dot segments.
  const path = text.replace(/^[a-z]+:\/\/[^/]*/i, '').replace(/\/$/, '')
  if (!/^(\/[A-Za-z0-9._~-]+)*$/.test(path) || path.split('/').some((segment) => /^\.\.?$/.test(segment))) {
    return { error: `the path of ${quoted(text)} must be plain segments of letters, digits, ".", "_", "~" and "-"` }
  }
  const version = apiPath.exec(path)?.[0]
  if (version !== undefined)
    return {
      error: `${quoted(text)} must end before "${version}": callers send the version of the API as part of the path, and it would stand there twice`,
    }
  return { value: { origin: url.value.origin, pathPrefix: path } }
}

/** What the origin looks like: it ends before the paths of the API begin. */
export const originForm = `^(?!.*\\?)(?!.*/[Vv]\\d+((alpha|beta)\\d*)?(/(organizations|enterprise|self|sessions)(/.*)?)?/?$)${urlForm.slice(1)}`

/** What the identifier of an issuer looks like. */
export const issuerForm = `^(?!.*\\?)(?!.*/\\.well-known/)${urlForm.slice(1)}`

/** The beginning of the API's own paths: a version, and what may follow it. */
const apiPath = /\/v\d+(?:(?:alpha|beta)\d*)?(?:\/(?:organizations|enterprise|self|sessions)(?:\/.*)?)?$/i

/** An origin: scheme, host and port. https, or http to loopback. */
export function parseOrigin(example: string): (text: string) => Parsed<string> {
  return (text) => {
    const url = parseUrl(text, example)
    if ('error' in url) return url
    return /^[a-z]+:\/\/[^/]+\/?$/i.test(text)
      ? { value: url.value.origin }
      : { error: `${quoted(text)} must end behind the host and its port, like ${example}` }
  }
}

/** Whether a listener there is reached from this machine alone. A name other than localhost may mean any address. */
export function isLoopbackHost(host: string): boolean {
  return host.toLowerCase() === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** An issuer's identifier: an absolute URL without query and fragment (RFC 8414 section 2), kept character by character. */
export function parseIssuer(text: string): Parsed<string> {
  const url = parseUrl(text, 'https://sso.corp.example')
  if ('error' in url) return url
  if (/[?#]/.test(text)) return { error: `${quoted(text)} must not have a query or a fragment` }
  const metadata = text.indexOf('/.well-known/')
  return metadata === -1
    ? { value: text }
    : {
        error: `${quoted(text)} is the address of a document: the issuer is what its "issuer" and the iss claim of tokens say, probably ${quoted(text.slice(0, metadata))}`,
      }
}

/** Where an issuer's keys are. A query is kept: some identity providers name the application in it. */
export function parseKeySetAddress(text: string): Parsed<string> {
  const url = parseUrl(text, 'https://sso.corp.example/jwks')
  if ('error' in url) return url
  return text.includes('#') ? { error: `${quoted(text)} must not have a fragment` } : { value: url.value.href }
}

/** The address that checkpoints are posted to. https, or http to loopback. */
export function parseCheckpointAddress(text: string): Parsed<string> {
  const url = parseUrl(text, 'https://audit.corp.example/checkpoints')
  return 'error' in url ? url : { value: url.value.href }
}

/** What the address of a collector looks like. */
export const collectorForm = /^[Hh][Tt][Tt][Pp][Ss]?:\/\/[^/?#\\@\s]+(\/[^?#\\\s]*)?$/.source

/**
 * Where a collector takes traces by OTLP over HTTP: `/v1/traces` below the address, which is also understood where it is
 * written out. Plain http is accepted to any host, because spans hold no secret.
 */
export function parseCollector(text: string): Parsed<string> {
  const example = 'http://collector:4318'
  const url = parseAnyUrl(text, example)
  if ('error' in url) return url
  if (/[?#]/.test(text)) return { error: `${quoted(text)} must not have a query or a fragment` }
  if (url.value.port === '4317')
    return {
      error: `${quoted(text)} is the port for gRPC: write the one for OTLP over HTTP, usually 4318`,
    }
  const base = url.value.href.replace(/\/$/, '')
  return { value: base.endsWith('/v1/traces') ? base : `${base}/v1/traces` }
}

/** An https URL, or http to loopback, without user information. Refuses spellings that two parsers could read differently. */
function parseUrl(text: string, example: string): Parsed<URL> {
  const url = parseAnyUrl(text, example)
  return 'error' in url || url.value.protocol === 'https:' || isLoopback(url.value)
    ? url
    : {
        error: `${quoted(text)} must begin with https://: plain http is accepted only to loopback (localhost, 127.0.0.1, [::1])`,
      }
}

function parseAnyUrl(text: string, example: string): Parsed<URL> {
  // The URL parser forgives backslashes, spaces, tabs and missing slashes.
  if (!/^[a-z]+:\/\/[^/?#\\\s]+[^\\\s]*$/i.test(text) || !URL.canParse(text)) {
    return { error: `${quoted(text)} is not an absolute URL: write one like ${example}` }
  }
  const url = new URL(text)
  // Without the value: user information is a name and a password.
  if (/^[a-z]+:\/\/[^/?#]*@/i.test(text))
    return { error: 'a URL must not hold user information (what stands before "@")' }
  return url.protocol === 'https:' || url.protocol === 'http:'
    ? { value: url }
    : { error: `${quoted(text)} must begin with https://` }
}

/** Whether an address stays on this machine. URL parsing has already made every spelling of 127.0.0.1 the same. */
export function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}
