// Sign-in of people through an issuer: OpenID Connect, authorization code with PKCE (RFC 7636), by openid-client.

import * as oidc from 'openid-client'
import { Agent, fetch as fetchWith } from 'undici'
import type { AdminAuthConfig } from '../../config/operators/admin-schema.ts'
import { isLoopback } from '../../config/values/addresses.ts'
import { Problem } from '../../problems.ts'
import { isObject } from '../../json/untyped.ts'
import { principalOf } from '../claims.ts'
import type { Principal } from '../principal.ts'
import type { TokenVerifier } from '../token-verifier.ts'

export interface SignInOptions {
  readonly auth: AdminAuthConfig
  /** Checks ID tokens: signature, issuer, audience, times. */
  readonly tokens: Pick<TokenVerifier, 'verify'>
  /** The client's secret as it is now; null for a public client. Rejects with a sentence. */
  readonly secret: () => Promise<string | null>
  /** Whether these claims say enough; else the issuer's UserInfo page is asked as well. */
  readonly isEnough: (principal: Principal) => boolean
  readonly now: () => number
  readonly monotonic: () => number
  /** Why a sign-in failed, for operators. Never a token, a code or a secret. */
  readonly onFault: (text: string) => void
}

/** What is remembered of a sign-in while the browser is at the issuer. */
export interface StartedSignIn {
  readonly state: string
  readonly nonce: string
  readonly codeVerifier: string
  readonly redirectUri: string
}

export interface SignedIn {
  readonly principal: Principal
  /** For later checks of the session; null where the issuer gave no refresh token. */
  readonly renewal: Renewal | null
}

export interface Renewal {
  readonly refreshToken: string
  /** Claim `sub` of the sign-in: nobody else may come out of a renewal (OpenID Connect Core section 12.2). */
  readonly sub: unknown
}

const timeoutS = 10
const metadataMs = 600_000
const usualScopes = ['profile', 'email', 'groups']

export type SignIn = ReturnType<typeof createSignIn>

export function createSignIn({ auth, tokens, secret, isEnough, now, monotonic, onFault }: SignInOptions) {
  const issuer = auth.idTokenIssuer
  const agent = new Agent({
    connect: { rejectUnauthorized: true, ...(issuer.ca === null ? {} : { ca: issuer.ca }) },
  })
  // undici's own `fetch` takes its agent; Node's global one may belong to another version.
  const customFetch: oidc.CustomFetch = async (url, options) =>
    await fetchWith(url, { ...options, dispatcher: agent } as Parameters<typeof fetchWith>[1])
  let known: { readonly metadata: oidc.ServerMetadata; readonly atMs: number } | null = null

  async function metadataOf(): Promise<oidc.ServerMetadata> {
    if (known !== null && monotonic() - known.atMs < metadataMs) return known.metadata
    const found = await oidc.discovery(new URL(issuer.issuer), auth.clientId, undefined, oidc.None(), {
      [oidc.customFetch]: customFetch,
      timeout: timeoutS,
      execute: insecureOnLoopback(),
    })
    // Which algorithms count says the configuration, as everywhere.
    const metadata = Object.assign(found.serverMetadata(), {
      id_token_signing_alg_values_supported: [...issuer.algorithms],
    })
    known = { metadata, atMs: monotonic() }
    return metadata
  }

  /** Plain http is accepted to this machine alone, as the configuration has checked. */
  function insecureOnLoopback(): ((configuration: oidc.Configuration) => void)[] {
    const url = new URL(issuer.issuer)
    return url.protocol === 'http:' && isLoopback(url) ? [oidc.allowInsecureRequests] : []
  }

  async function client(): Promise<oidc.Configuration> {
    const [metadata, value] = await Promise.all([metadataOf(), secret()])
    const methods = metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
    const method =
      value === null
        ? oidc.None()
        : methods.includes('client_secret_basic')
          ? oidc.ClientSecretBasic(value)
          : oidc.ClientSecretPost(value)
    const about = { [oidc.clockTolerance]: Math.ceil(issuer.clockToleranceMs / 1000) }
    const made = new oidc.Configuration(metadata, auth.clientId, about, method)
    made[oidc.customFetch] = customFetch
    made.timeout = timeoutS
    for (const allow of insecureOnLoopback()) allow(made)
    return made
  }

  function scopeOf({ scopes_supported: offered }: oidc.ServerMetadata): string {
    const wanted = auth.scopes ?? usualScopes.filter((scope) => offered?.includes(scope) ?? scope !== 'groups')
    return [...new Set(['openid', ...wanted])].join(' ')
  }

  /** The principal of an ID token, with what the UserInfo page adds where the token says too little. */
  async function identify(
    config: oidc.Configuration,
    answer: oidc.TokenEndpointResponse,
  ): Promise<Principal | Problem> {
    const { id_token: idToken, access_token: accessToken } = answer
    if (idToken === undefined) return failed('The issuer gave no ID token.')
    const principal = await tokens.verify(`Bearer ${idToken}`)
    if (principal instanceof Problem || isEnough(principal)) return principal
    if (config.serverMetadata().userinfo_endpoint === undefined) return principal
    const subject = principal.claims['sub']
    const more = await oidc.fetchUserInfo(config, accessToken, typeof subject === 'string' ? subject : '')
    return principalOf({ ...(isObject(more) ? more : {}), ...principal.claims }, issuer, now())
  }

  /** Who it is now. A renewal need not bring an ID token; then the UserInfo page says it. */
  async function identifyAgain(
    config: oidc.Configuration,
    answer: oidc.TokenEndpointResponse,
    { sub }: Renewal,
  ): Promise<Principal | Problem> {
    if (answer.id_token === undefined && typeof sub === 'string') {
      const about = await oidc.fetchUserInfo(config, answer.access_token, sub)
      const nowS = Math.floor(now() / 1000)
      const claims = { iss: issuer.issuer, aud: auth.clientId, iat: nowS, exp: nowS + 1 }
      return principalOf({ ...about, ...claims }, issuer, now())
    }
    const principal = await identify(config, answer)
    if (principal instanceof Problem || principal.claims['sub'] === sub) return principal
    return failed('The issuer renewed the session of somebody else.')
  }

  /** What the work gives, or a problem that says who has to act. */
  async function attempt<T>(work: () => Promise<T | Problem>): Promise<T | Problem> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof Problem) return error
      onFault(faultOf(error))
      if (isRefusal(error))
        return failed('The issuer did not accept the sign-in. Sign in again; the log says what the issuer answered.')
      return new Problem(
        'identity-provider-unavailable',
        'The issuer cannot be asked at the moment. Try again; the log says what is wrong.',
        { reason: 'issuer-unavailable', fields: { 'retry-after': '5' } },
      )
    }
  }

  return {
    /** Where the browser has to go, and what to remember meanwhile. */
    begin: (redirectUri: string): Promise<{ readonly location: string; readonly started: StartedSignIn } | Problem> =>
      attempt(async () => {
        const config = await client()
        const started = {
          state: oidc.randomState(),
          nonce: oidc.randomNonce(),
          codeVerifier: oidc.randomPKCECodeVerifier(),
          redirectUri,
        }
        const location = oidc.buildAuthorizationUrl(config, {
          redirect_uri: redirectUri,
          scope: scopeOf(config.serverMetadata()),
          state: started.state,
          nonce: started.nonce,
          code_challenge: await oidc.calculatePKCECodeChallenge(started.codeVerifier),
          code_challenge_method: 'S256',
        })
        return { location: location.href, started }
      }),
    /** Who has come back from the issuer. `query`: of the address at which the browser came back, with its question mark. */
    finish: (query: string, { state, nonce, codeVerifier, redirectUri }: StartedSignIn): Promise<SignedIn | Problem> =>
      attempt(async () => {
        const config = await client()
        const answer = await oidc.authorizationCodeGrant(config, new URL(`${redirectUri}${query}`), {
          expectedState: state,
          expectedNonce: nonce,
          pkceCodeVerifier: codeVerifier,
          idTokenExpected: true,
        })
        const principal = await identify(config, answer)
        return principal instanceof Problem ? principal : signedIn(principal, answer.refresh_token)
      }),
    /** Who it is now. A problem of another kind than `identity-provider-unavailable` ends the session. */
    renew: (renewal: Renewal): Promise<SignedIn | Problem> =>
      attempt(async () => {
        const config = await client()
        const answer = await oidc.refreshTokenGrant(config, renewal.refreshToken)
        const principal = await identifyAgain(config, answer, renewal)
        return principal instanceof Problem
          ? principal
          : signedIn(principal, answer.refresh_token ?? renewal.refreshToken)
      }),
    close: (): Promise<void> => agent.destroy(),
  }
}

function signedIn(principal: Principal, refreshToken: string | undefined): SignedIn {
  const sub = principal.claims['sub']
  return { principal, renewal: refreshToken === undefined ? null : { refreshToken, sub } }
}

function failed(detail: string): Problem {
  return new Problem('sign-in-failed', detail)
}

/** Whether the issuer, or a check of its answer, has said no. Everything else may go away by itself. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof oidc.AuthorizationResponseError ||
    (error instanceof oidc.ResponseBodyError && error.status < 500) ||
    error instanceof oidc.WWWAuthenticateChallengeError ||
    (error instanceof oidc.ClientError && refusalCodes.has(error.code ?? ''))
  )
}

/** Of answers that are not what this sign-in asked for. */
const refusalCodes: ReadonlySet<string> = new Set([
  'OAUTH_INVALID_RESPONSE',
  'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED',
  'OAUTH_JWT_CLAIM_COMPARISON_FAILED',
  'OAUTH_JWT_TIMESTAMP_CHECK_FAILED',
])

/** For the log: the kind of the error, and codes that the issuer named. No descriptions, which may hold anything. */
function faultOf(error: unknown): string {
  if (error instanceof oidc.AuthorizationResponseError || error instanceof oidc.ResponseBodyError)
    return `the issuer answered ${error.error}`
  if (!(error instanceof Error)) return 'unknown error'
  const { cause } = error
  const code = [error, cause].map((each) => (each instanceof Error && 'code' in each ? String(each.code) : null))
  const codes = code.filter((each) => each !== null)
  return codes.length > 0 ? codes.join(', ') : error.name === 'SourceFault' ? error.message : error.name
}
