// Where an issuer's key set is: at the configured address, or where the issuer's metadata document says. Keeps nothing.

import { isObject } from '../../json/untyped.ts'
import type { IssuerConfig } from '../../config/issuer-schema.ts'
import { isLoopback } from '../../config/values/addresses.ts'
import { FetchFailed, fetchJson, isTrustworthyAddress, type JsonFetchOptions } from './json-fetch.ts'

/**
 * The address of an issuer's key set: `jwksUri` of the settings, or `jwks_uri` of the metadata document, whose `issuer`
 * must equal the configured one exactly (OpenID Connect Discovery 1.0 section 4.3, RFC 8414 section 3.3).
 * Throws FetchFailed with a text for the operator.
 */
export async function findKeySetAddress(
  settings: Pick<IssuerConfig, 'issuer' | 'jwksUri'>,
  options: JsonFetchOptions,
): Promise<URL> {
  if (settings.jwksUri !== null) return parseAddress(settings.jwksUri, 'jwks_uri')
  const issuer = parseAddress(settings.issuer, 'issuer')
  return keySetAddressIn(await fetchMetadata(issuer, options), settings.issuer, issuer)
}

/**
 * The places of the metadata document, in the order they are tried: OpenID Connect Discovery (appended to the path),
 * RFC 8414 section 3.1 (inserted before the path), and the appended form of the latter that many servers answer.
 */
export function metadataAddresses(issuer: URL): readonly URL[] {
  const path = issuer.pathname.replace(/\/$/, '')
  const places = [
    `${path}/.well-known/openid-configuration`,
    `/.well-known/oauth-authorization-server${path}`,
    `${path}/.well-known/oauth-authorization-server`,
  ]
  return [...new Set(places)].map((place) => {
    const address = new URL(issuer)
    address.pathname = place
    address.search = ''
    address.hash = ''
    return address
  })
}

async function fetchMetadata(issuer: URL, options: JsonFetchOptions): Promise<unknown> {
  let failure = new FetchFailed('no metadata address', false)
  for (const address of metadataAddresses(issuer)) {
    try {
      return (await fetchJson(address, options)).document
    } catch (error) {
      if (!(error instanceof FetchFailed)) throw error
      // A server that does not answer will not answer at the next path either: do not wait for it three times.
      if (!error.answered) throw error
      // The first address is the common one, so its failure is the one worth reading.
      if (!failure.answered) failure = error
    }
  }
  throw failure
}

/** `jwks_uri` of a metadata document, once the document is known to speak for the issuer. Throws FetchFailed. */
export function keySetAddressIn(metadata: unknown, wanted: string, issuer: URL): URL {
  if (!isObject(metadata)) throw new FetchFailed('the metadata document is not an object', true)
  if (metadata['issuer'] !== wanted) {
    const named = JSON.stringify(metadata['issuer'] ?? null).slice(0, 200)
    throw new FetchFailed(`the metadata document of ${wanted} names the issuer ${named}, and both must be equal`, true)
  }
  const text = metadata['jwks_uri']
  if (typeof text !== 'string') throw new FetchFailed(`the metadata document of ${wanted} has no jwks_uri`, true)
  const address = parseAddress(text, 'jwks_uri of the metadata document')
  // A document from elsewhere must not point the gateway at services of its own machine.
  if (!isTrustworthyAddress(address) || (isLoopback(address) && !isLoopback(issuer))) {
    throw new FetchFailed(
      `the jwks_uri in the metadata document of ${wanted} must be https and not on this machine`,
      true,
    )
  }
  return address
}

function parseAddress(text: string, name: string): URL {
  const address = URL.parse(text)
  if (address === null) throw new FetchFailed(`${name} is not an address; set issuers[].jwks_uri`, false)
  return address
}
