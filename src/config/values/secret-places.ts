// Parses where secrets are kept: addresses of servers, paths in Vault. Pure.

import { quoted, type Parsed } from '../units.ts'
import { isLoopback } from './addresses.ts'

const serverPattern = /^https?:\/\/(?<authority>[^/?#\\@\s]+)(?<path>(?:\/[A-Za-z0-9._~-]+)*)\/?$/i
/** What the address of a server looks like. */
export const serverForm = serverPattern.source.replaceAll(/\?<\w+>/g, '')

/** The address of a server: scheme, host, port and an optional path, without a slash at its end. */
export function parseServer(text: string): Parsed<string> {
  const form = `${quoted(text)} is no address of a server: write one like https://vault.corp.example:8200`
  if (!/^https?:\/\//i.test(text)) return { error: form }
  if (text.includes('@')) return { error: 'the address must not hold credentials' }
  const found = serverPattern.exec(text)
  if (found === null || !URL.canParse(text)) return { error: form }
  const { origin } = new URL(text)
  const path = found.groups?.['path'] ?? ''
  if (path.endsWith('/v1')) return { error: `${quoted(text)} must end before "/v1": the gateway puts it there` }
  return { value: `${origin}${path}` }
}

/** Whether what is sent to an address can be read on its way: plain http to another machine. */
export function isReadOnTheWay(address: string): boolean {
  const url = new URL(address)
  return url.protocol === 'http:' && !isLoopback(url)
}

/** What `parseKvPath` accepts, for editors. */
export const kvPathForm = '^(?!v1/)[^\\s?#%/]+(?:/[^\\s?#%/]+)*/data(?:/[^\\s?#%/]+)+$'

/** The path of a secret in the API of KV version 2: the mount, `data`, and the secret's own path. */
export function parseKvPath(text: string): Parsed<string> {
  const path = text.replaceAll(/^\/+|\/+$/g, '').replace(/^v1\//, '')
  const segments = path.split('/')
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..' || /[\s?#%\0]/.test(segment)))
    return { error: `${quoted(text)} is no path of a secret: write one like kv/data/devin/payments` }
  if (segments.length < 2)
    return { error: `${quoted(text)} lacks the secret behind the mount: write one like kv/data/devin/payments` }
  const data = segments.indexOf('data', 1)
  if (data === -1 || data === segments.length - 1) {
    const [mount = '', ...rest] = segments.filter(
      (segment, index) => index === 0 || !['data', 'metadata'].includes(segment),
    )
    const right = [mount, 'data', ...rest].join('/')
    return {
      error: `${quoted(text)} is no path of KV version 2, whose API has "data" behind the mount${rest.length === 0 ? '' : `; did you mean "${right}"?`}`,
    }
  }
  if (path !== text)
    return { error: `${quoted(text)} is written without "/v1" and without slashes around it: "${path}"` }
  return { value: path }
}
