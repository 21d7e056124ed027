// The two cookies of the operators' listener. Over TLS their names begin with __Host-, so that no other host can set them.

import type { AccessRequest } from './request.ts'

/** `session`: an opaque id. `sign-in`: ties the way to the issuer and back to one browser. */
type CookieName = 'session' | 'sign-in'

function nameOf(name: CookieName, isSecure: boolean): string {
  return `${isSecure ? '__Host-' : ''}gateway-${name}`
}

export function cookieOf({ headers }: AccessRequest, name: CookieName, isSecure: boolean): string | null {
  const wanted = `${nameOf(name, isSecure)}=`
  const found = (headers.cookie ?? '').split(';').map((each) => each.trim())
  return found.find((each) => each.startsWith(wanted))?.slice(wanted.length) ?? null
}

/** Lax and not Strict: the way back from the issuer is a navigation from another site. */
export function setCookie(name: CookieName, value: string, isSecure: boolean): string {
  return `${nameOf(name, isSecure)}=${value}; Path=/; HttpOnly; SameSite=Lax${isSecure ? '; Secure' : ''}`
}

export function droppedCookie(name: CookieName, isSecure: boolean): string {
  return `${setCookie(name, '', isSecure)}; Max-Age=0`
}
