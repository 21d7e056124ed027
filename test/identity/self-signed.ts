// A certificate that vouches for itself, made anew for each run so that no private key lies in the repository.

import { generateKeyPairSync, sign } from 'node:crypto'

/** `cert` and `key` in PEM for a TLS server of that name; valid for this decade (X.509, RFC 5280 section 4.1). */
export function makeSelfSigned(name: string): { cert: string; key: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = der(0x30, Buffer.from('06082a8648ce3d040302', 'hex')) // ecdsa-with-SHA256
  const commonName = der(0x30, Buffer.from('0603550403', 'hex'), der(0x0c, Buffer.from(name)))
  const subject = der(0x30, der(0x31, commonName))
  const validity = der(0x30, der(0x17, Buffer.from('200101000000Z')), der(0x17, Buffer.from('491231235959Z')))
  const version = der(0xa0, der(0x02, Buffer.from([2])))
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const signed = der(0x30, version, der(0x02, Buffer.from([1])), algorithm, subject, validity, subject, spki)
  const signature = der(0x03, Buffer.from([0]), sign('sha256', signed, privateKey))
  const body = der(0x30, signed, algorithm, signature)
    .toString('base64')
    .replace(/.{64}(?!$)/g, '$&\n')
  const cert = `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const length = content.length < 128 ? [content.length] : [0x82, content.length >> 8, content.length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), content])
}
