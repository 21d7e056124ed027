// Refuses requests that do not say clearly for which host they are, so that the check of the host cannot be deceived.

import { hostForm } from '../../http/host.ts'
import { Problem } from '../../problems.ts'

interface RequestHead {
  readonly rawHeaders: readonly string[]
  readonly httpVersion: string
}

/** `authority`: what an absolute address as the target names; null where the target is a path. An empty Host is well-formed. */
export function hostFault({ rawHeaders, httpVersion }: RequestHead, authority: string | null): Problem | null {
  const hosts = rawHeaders.filter((_text, index) => rawHeaders[index - 1]?.toLowerCase() === 'host' && index % 2 === 1)
  const [host = null] = hosts
  if (hosts.length > 1) return malformed('it has more than one Host field')
  // HTTP/1.0 knows no Host field.
  if (host === null && httpVersion !== '1.0') return malformed('it has no Host field')
  if (host !== null && host !== '' && !hostForm.test(host)) return malformed('its Host field holds no host')
  if (authority !== null && authority.toLowerCase() !== (host ?? '').toLowerCase())
    return malformed('its target names another host than its Host field')
  return null
}

function malformed(why: string): Problem {
  return new Problem(
    'malformed-request',
    `The request is refused because ${why}. Send one Host field with the address of this listener (RFC 9112, section 3.2).`,
  )
}
