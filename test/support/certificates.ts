// Certificates for tests of TLS, made anew for each run: an authority, and servers of any name and time signed by it.

import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'

export interface ServerCertificate {
  /** PEM. */
  readonly cert: string
  readonly key: string
}

export interface Authority {
  /** PEM of the authority's own certificate. */
  readonly ca: string
  issue(options: {
    /** A DNS name, or an IPv4 address. */
    readonly name: string
    readonly validity?: readonly [from: string, to: string]
    /** For clients alone; by default for anything. */
    readonly forClients?: boolean
    /** An RSA key of so many bits; by default one on an elliptic curve. */
    readonly rsaBits?: number
  }): ServerCertificate
}

const thisDecade = ['200101000000Z', '491231235959Z'] as const
/** A span that is over. */
export const longAgo = ['200101000000Z', '210101000000Z'] as const
/** A span that has not begun. */
export const someDay = ['490101000000Z', '491231235959Z'] as const
/** A span that ends so many days from a time. */
export function endingIn(days: number, nowMs: number): readonly [string, string] {
  const end = new Date(nowMs + days * 86_400_000)
  const written = end.toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  return ['200101000000Z', written.slice(2)]
}
const ecdsaWithSha256 = der(0x30, Buffer.from('06082a8648ce3d040302', 'hex'))

/** A new authority (X.509, RFC 5280 section 4.1). */
export function createAuthority(
  name: string,
  ownValidity: readonly [from: string, to: string] = thisDecade,
): Authority {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const own = certificate({
    subject: name,
    issuer: name,
    publicKey: pair.publicKey,
    signer: pair.privateKey,
    validity: ownValidity,
    // basicConstraints, critical: a certification authority.
    extensions: der(
      0x30,
      Buffer.from('0603551d13', 'hex'),
      Buffer.from('0101ff', 'hex'),
      der(0x04, Buffer.from('30030101ff', 'hex')),
    ),
  })
  return {
    ca: own,
    issue({ name: server, validity = thisDecade, forClients = false, rsaBits }) {
      const { publicKey, privateKey } =
        rsaBits === undefined
          ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
          : generateKeyPairSync('rsa', { modulusLength: rsaBits })
      const cert = certificate({
        subject: server,
        issuer: name,
        publicKey,
        signer: pair.privateKey,
        validity,
        extensions: Buffer.concat([
          der(0x30, Buffer.from('0603551d11', 'hex'), der(0x04, der(0x30, generalName(server)))),
          // extKeyUsage: clientAuth.
          ...(forClients
            ? [
                der(
                  0x30,
                  Buffer.from('0603551d25', 'hex'),
                  der(0x04, der(0x30, Buffer.from('06082b06010505070302', 'hex'))),
                ),
              ]
            : []),
        ]),
      })
      return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
    },
  }
}

let serial = 1

function certificate(options: {
  subject: string
  issuer: string
  publicKey: KeyObject
  signer: KeyObject
  validity: readonly [string, string]
  extensions: Buffer
}): string {
  const { subject, issuer, publicKey, signer, validity, extensions } = options
  const [from, to] = validity
  serial += 1
  const signed = der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1 + (serial >> 7), serial & 0x7f])),
    ecdsaWithSha256,
    commonName(issuer),
    der(0x30, der(0x17, Buffer.from(from)), der(0x17, Buffer.from(to))),
    commonName(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(0x30, extensions)),
  )
  const signature = der(0x03, Buffer.from([0]), sign('sha256', signed, signer))
  const body = der(0x30, signed, ecdsaWithSha256, signature)
    .toString('base64')
    .replace(/.{64}(?!$)/g, '$&\n')
  return `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`
}

function commonName(name: string): Buffer {
  return der(0x30, der(0x31, der(0x30, Buffer.from('0603550403', 'hex'), der(0x0c, Buffer.from(name)))))
}

function generalName(name: string): Buffer {
  return /^\d+\.\d+\.\d+\.\d+$/.test(name)
    ? der(0x87, Buffer.from(name.split('.').map(Number)))
    : der(0x82, Buffer.from(name))
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 128 ? [length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}
