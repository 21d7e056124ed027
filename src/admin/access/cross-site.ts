// Refuses requests that a page of another site may have sent: by Host (DNS rebinding), Origin, Fetch Metadata, and the forms of
// body that browsers send without asking first. Also where nobody signs in.

import { isIP } from 'node:net'
import { Problem } from '../../problems.ts'
import { isRead } from './operator.ts'
import type { AccessRequest } from './request.ts'

/** How the listener is reached. */
export interface Surface {
  /** Origin of `admin.url`, or null. */
  readonly url: string | null
  /** Host of `listen.admin`. */
  readonly host: string
}

/** Media types that a page may send to any site (Fetch Standard, CORS-safelisted request-header). */
const simpleTypes = ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']

/** The origin of the listener as this request names it; null where its Host is neither an address nor configured. */
export function originOf({ headers, encrypted }: AccessRequest, { url, host: own }: Surface): string | null {
  const host = (headers.host ?? '').toLowerCase()
  if (url !== null && new URL(url).host === host) return url
  const origin = `${encrypted ? 'https' : 'http'}://${host}`
  // An address with a zone, or a port that does not exist, is no origin.
  const isKnown = (isAddress(host) || withoutPort(host) === own.toLowerCase()) && URL.canParse(origin)
  return isKnown ? origin : null
}

/** Names can be made to point here by their owners (DNS rebinding); addresses and localhost cannot. */
function isAddress(host: string): boolean {
  const name = withoutPort(host)
  return name === 'localhost' || isIP(name) !== 0
}

function withoutPort(host: string): string {
  return host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
}

/** Why a request is refused before anybody looks who makes it; null when it is not. */
export function crossSiteFault(request: AccessRequest, surface: Surface): Problem | null {
  const { method, headers } = request
  const own = originOf(request, surface)
  if (own === null)
    return crossSite(
      "Use the listener's address, not a name, to reach the operators' listener; a name has to be configured as admin.url.",
      'host-unknown',
    )
  // Browsers name the site whose page sends a request; command-line tools name none.
  if (headers.origin !== undefined && headers.origin !== own)
    return crossSite('Pages of another site may not use the API of the operators.', 'origin-unknown')
  const site = headers['sec-fetch-site']
  const isOwnSite = site === undefined || site === 'same-origin' || site === 'none'
  // A link from elsewhere, and the way back from the issuer.
  const isNavigation = isRead(method) && headers['sec-fetch-mode'] === 'navigate'
  if (!isOwnSite && !isNavigation)
    return crossSite('Pages of another site may not use the API of the operators.', 'site-unknown')
  if (isRead(method)) return null
  const type = (headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  if (hasBody && simpleTypes.includes(type))
    return crossSite(`A page of any site could send ${type}. Send the body as application/json.`, 'content-type')
  return null
}

export function crossSite(detail: string, reason: string): Problem {
  return new Problem('cross-site-request', detail, { reason })
}
