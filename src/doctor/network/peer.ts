// What a probe says of a server that the gateway depends on: its name, its connections, its certificate.

import { isIP } from 'node:net'
import type { Findings } from '../finding.ts'
import type { Probe, ProbeFault, ProbeTarget, ServedCertificate } from './probe.ts'
import { counted } from '../../config/plural.ts'

/** How a server is spoken of. */
export interface PeerWords {
  /** "The Devin API". */
  readonly name: string
  /** Where its address is set: `upstream.origin`. */
  readonly setting: string
  /** The setting of its authorities, or the option; null where there is none. */
  readonly caSetting: string | null
}

/** Adds what the steps of a probe came to. Returns whether the server can be used. */
export function addPeerFindings(found: Findings, target: ProbeTarget, words: PeerWords, probed: Probe): boolean {
  const { host, port } = target
  const { addresses, silent, fault } = probed
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}`
  if (fault?.step === 'name') {
    found.error('dns', ...nameTrouble(fault, host, words))
    return false
  }
  if (isIP(host) === 0)
    found.ok('dns', `${host} is ${addresses.slice(0, 4).join(', ')}${addresses.length > 4 ? ', …' : ''}`)
  if (fault?.step === 'connection') {
    found.error('connection', ...connectionTrouble(fault, place, addresses, words))
    return false
  }
  if (silent.length > 0)
    found.warning(
      'connection',
      `${words.name}: of the addresses of ${host}, ${silent.map(({ address, code }) => `${address} (${code})`).join(', ')} ${silent.length === 1 ? 'takes' : 'take'} no connection.`,
      'Open the way to all addresses in the firewall, or have the address removed from the name: connections fail now and then.',
    )
  else found.ok('connection', `${place} takes connections`)
  if (target.tls === null) return true
  if (fault?.step === 'tls') {
    found.error('tls', ...handshakeTrouble(fault, place, words))
    return false
  }
  return addCertificateFindings(found, host, words, probed)
}

/** Adds what is to be said of a chain that a server has shown. Returns whether it is trusted. */
function addCertificateFindings(found: Findings, host: string, words: PeerWords, probed: Probe): boolean {
  const { chain, distrust, tlsVersion } = probed
  const [own] = chain
  if (distrust !== null) {
    found.error('certificate', ...distrustOf(distrust, host, words, chain))
    return false
  }
  const ending = endingSoon(chain, Date.now())
  if (ending !== null)
    found.warning(
      'certificate',
      `${words.name}: the certificate of ${ending.subject} ends at ${instant(ending.toMs)}, ${spanTo(ending.toMs, Date.now())}.`,
      `Have whoever runs ${host} renew it before.`,
    )
  else if (own !== undefined)
    found.ok(
      'certificate',
      `certificate of ${own.subject} by ${own.issuer}, until ${instant(own.toMs)} (${tlsVersion ?? 'TLS'})`,
    )
  return true
}

const dayMs = 86_400_000

/** The certificate that ends first, if that is soon: within two weeks, or sooner where it is short-lived. */
export function endingSoon(chain: readonly ServedCertificate[], nowMs: number): ServedCertificate | null {
  const soon = chain.filter(({ fromMs, toMs }) => toMs - nowMs < Math.min(14 * dayMs, (toMs - fromMs) / 5))
  return soon.toSorted((a, b) => a.toMs - b.toMs)[0] ?? null
}

type Trouble = readonly [message: string, action: string]

function nameTrouble({ code }: ProbeFault, host: string, { name, setting }: PeerWords): Trouble {
  if (code === 'ENOTFOUND' || code === 'ENODATA')
    return [
      `${name}: there is no such name as ${host} (${code}).`,
      `Check the spelling in ${setting}, and whether this machine asks the right DNS server: getent hosts ${host}`,
    ]
  const why = code === 'LATE' ? 'did not answer in time' : `gave no answer (${code})`
  return [
    `${name}: the DNS server of this machine ${why} when it was asked for ${host}.`,
    'Check /etc/resolv.conf, and whether the way to its servers is open.',
  ]
}

function connectionTrouble(
  { code }: ProbeFault,
  place: string,
  addresses: readonly string[],
  { name, setting }: PeerWords,
): Trouble {
  const where =
    addresses.length === 1 && place.startsWith(addresses[0] ?? '') ? '' : ` (${addresses.slice(0, 4).join(', ')})`
  if (code === 'ECONNREFUSED')
    return [`${name}: nothing listens at ${place}${where}.`, `Check host and port in ${setting}, and whether it runs.`]
  if (code === 'LATE' || code === 'ETIMEDOUT')
    return [
      `${name}: ${place}${where} does not answer a connection.`,
      `Open the way from this machine to ${place} in the firewall, or check ${setting}.`,
    ]
  if (code === 'ENETUNREACH' || code === 'EHOSTUNREACH')
    return [
      `${name}: there is no route from this machine to ${place}${where} (${code}).`,
      `Check the network of this machine, and ${setting}.`,
    ]
  return [
    `${name}: the connection to ${place}${where} fails (${code}).`,
    `Check ${setting} and the network of this machine.`,
  ]
}

function handshakeTrouble({ code }: ProbeFault, place: string, { name, setting }: PeerWords): Trouble {
  if (code === 'LATE')
    return [
      `${name}: ${place} takes connections and does not answer the TLS handshake.`,
      'Find out whether a firewall or proxy between breaks off TLS, and whether the port is one for TLS.',
    ]
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG' || code === 'EPROTO')
    return [
      `${name}: ${place} does not speak TLS (${code}).`,
      `Check the port in ${setting}: this one probably speaks plain text.`,
    ]
  if (/CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE/.test(code))
    return [
      `${name}: ${place} breaks off the TLS handshake (${code}).`,
      'It may ask for a certificate of the client, which the gateway does not have, or offer only old versions of TLS.',
    ]
  return [
    `${name}: ${place} breaks off the TLS handshake (${code}).`,
    'Find out whether a firewall or proxy between forbids it, and whether the port is one for TLS.',
  ]
}

function distrustOf(
  code: string,
  host: string,
  { name, setting, caSetting }: PeerWords,
  chain: readonly ServedCertificate[],
): Trouble {
  const own = chain[0]
  const ended = chain.find(({ toMs }) => toMs < Date.now()) ?? own
  const orClock = 'If that is not so, the clock of this machine is wrong.'
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return [
        `${name}: the certificate of ${ended?.subject ?? host} has ended at ${instant(ended?.toMs ?? 0)}.`,
        `Have whoever runs ${host} renew it. ${orClock}`,
      ]
    case 'CERT_NOT_YET_VALID':
      return [
        `${name}: the certificate of ${host} begins only at ${instant(own?.fromMs ?? 0)}.`,
        `Have whoever runs ${host} use one that is valid. ${orClock}`,
      ]
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return [
        `${name}: the certificate is for ${own === undefined || own.names === '' ? (own?.subject ?? 'no name') : own.names}, and not for ${host}.`,
        `Write the name in ${setting} for which the certificate is, or have a certificate made for ${host}.`,
      ]
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT': {
      const top = chain.at(-1)
      return [
        `${name}: the certificate of ${own?.subject ?? host} is signed by ${top?.issuer ?? 'an authority'}, which is not trusted here (${code}).`,
        `${caSetting === null ? 'Add this authority to those that Node.js trusts, with NODE_EXTRA_CA_CERTS' : `Name a PEM file with this authority in ${caSetting}`}; or, if it is a public one, have ${host} send the certificates between as well.`,
      ]
    }
    default:
      return [
        `${name}: the certificate of ${host} is not accepted (${code}).`,
        `Have whoever runs ${host} look at it: openssl s_client -connect ${host} -servername ${host}`,
      ]
  }
}

/** In UTC, to the second. */
export function instant(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString().replace(/\.\d+/, '') : 'an unknown time'
}

/** "in 3 days", "in 5 h". */
export function spanTo(atMs: number, nowMs: number): string {
  const hours = Math.max(0, Math.floor((atMs - nowMs) / 3_600_000))
  return hours < 48 ? `in ${hours} h` : `in ${counted(Math.floor(hours / 24), 'day')}`
}
