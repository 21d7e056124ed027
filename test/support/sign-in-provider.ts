// A real OpenID provider at which people sign in with a browser, and services get tokens: `oidc-provider` with its own pages.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair } from 'jose'
import { Provider } from 'oidc-provider'

export interface SignInProvider {
  readonly issuer: string
  /** Groups of people and services by their names; changed by tests. */
  readonly groups: Record<string, readonly string[]>
  /** Registers the console's redirect URI. Until then nothing is answered. */
  open(redirectUri: string): void
  /** An access token of a service for an audience. */
  token(service: string, audience?: string): Promise<string>
  close(): Promise<void>
}

export const consoleAudience = 'https://console.corp.example'
export const clientSecret = 'planted-client-secret-0123456789'
const services = ['viewer-service', 'operator-service', 'officer-service', 'nobody-service', 'all-service']

export async function startSignInProvider(): Promise<SignInProvider> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const keys = [{ ...(await exportJWK(privateKey)), kid: 'sign-in', alg: 'RS256', use: 'sig' }]
  const groups: Record<string, readonly string[]> = {}
  let handle: ReturnType<Provider['callback']> | null = null
  const server = createServer((request, response) => {
    if (handle === null) response.writeHead(503).end()
    else void handle(request, response)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  // A server that listens on TCP has an AddressInfo.
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    issuer,
    groups,
    open(redirectUri) {
      handle = new Provider(issuer, {
        jwks: { keys },
        cookies: { keys: ['only for tests'] },
        conformIdTokenClaims: false,
        claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
        scopes: ['openid', 'email', 'groups', 'offline_access'],
        issueRefreshToken: async () => true,
        findAccount: (_: unknown, id: string) => ({
          accountId: id,
          claims: async () => ({
            sub: id,
            email: `${id}@corp.example`,
            email_verified: true,
            groups: groups[id] ?? [],
          }),
        }),
        clients: [
          {
            client_id: 'console',
            client_secret: clientSecret,
            grant_types: ['authorization_code', 'refresh_token'],
            redirect_uris: [redirectUri],
            response_types: ['code'],
          },
          ...services.map((client_id) => ({
            client_id,
            client_secret: 'only-for-tests',
            grant_types: ['client_credentials'],
            redirect_uris: [],
            response_types: [],
          })),
        ],
        features: {
          devInteractions: { enabled: true },
          clientCredentials: { enabled: true },
          resourceIndicators: {
            enabled: true,
            getResourceServerInfo: (_: unknown, resource: string) => ({
              scope: '',
              audience: resource,
              accessTokenTTL: 600,
              accessTokenFormat: 'jwt',
              jwt: { sign: { alg: 'RS256' } },
            }),
          },
        },
        extraTokenClaims: (_: unknown, { clientId }: { clientId: string }) => ({ groups: groups[clientId] ?? [] }),
      }).callback()
    },
    async token(service, audience = consoleAudience) {
      const response = await fetch(`${issuer}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`${service}:only-for-tests`).toString('base64')}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', resource: audience }),
      })
      const answer = (await response.json()) as { access_token?: string }
      if (answer.access_token === undefined) throw new Error(`no token: ${JSON.stringify(answer)}`)
      return answer.access_token
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

/** A browser as far as sign-in is concerned: cookies by host and port, and redirects followed one by one. */
export class Browser {
  readonly #cookies = new Map<string, Map<string, string>>()

  async open(url: string, init: RequestInit = {}): Promise<Response> {
    const { origin } = new URL(url)
    const jar = this.#cookies.get(origin) ?? new Map<string, string>()
    this.#cookies.set(origin, jar)
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = new Headers({ accept: 'text/html', 'sec-fetch-mode': 'navigate', ...Object(init.headers) })
    if (cookie !== '') headers.set('cookie', cookie)
    const response = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split(';').map((part) => part.trim())
      const name = pair.slice(0, pair.indexOf('='))
      const isGone = attributes.some((each) => /^max-age=0$|^expires=thu, 01 jan 1970/i.test(each))
      if (isGone) jar.delete(name)
      else jar.set(name, pair.slice(pair.indexOf('=') + 1))
    }
    return response
  }

  cookie(url: string, name: string): string | undefined {
    return this.#cookies.get(new URL(url).origin)?.get(name)
  }

  /** Follows redirects until a page, or an address that begins like this, which is not opened. */
  async follow(url: string, stopAt = '\0'): Promise<{ readonly url: string; readonly response: Response | null }> {
    let at = url
    for (let steps = 0; steps < 20; steps++) {
      if (at.startsWith(stopAt)) return { url: at, response: null }
      const response = await this.open(at)
      const location = response.headers.get('location')
      if (location === null) return { url: at, response }
      at = new URL(location, at).href
    }
    throw new Error(`too many redirects at ${at}`)
  }

  /** Signs in at the provider, from its login page to the address at which the console is called back. */
  async signIn(start: string, name: string, callback: string): Promise<string> {
    let page = await this.follow(start, callback)
    for (let pages = 0; page.response !== null && pages < 5; pages++) {
      const html = await page.response.text()
      const action = /<form[^>]*action="([^"]+)"/.exec(html)?.[1]
      const prompt = /name="prompt" value="([^"]+)"/.exec(html)?.[1]
      if (action === undefined || prompt === undefined) throw new Error(`no form at ${page.url}: ${html.slice(0, 500)}`)
      const posted = await this.open(new URL(action, page.url).href, {
        method: 'POST',
        body: new URLSearchParams({ prompt, login: name, password: 'x' }),
      })
      page = await this.follow(new URL(posted.headers.get('location') ?? '', page.url).href, callback)
    }
    return page.url
  }
}
