#!/usr/bin/env node
// Starts a Devin session through the gateway, once, lists all sessions, and waits for limits. Node.js 20 or newer, nothing else.
//
//   DEVIN_GATEWAY_URL=https://devin-gateway.corp.example \
//   OAUTH_TOKEN_URL=https://sso.corp.example/token OAUTH_CLIENT_ID=my-app OAUTH_CLIENT_SECRET=... \
//   node devin-gateway.mjs org-payments "Fix the flaky refund test"
//
// DEVIN_GATEWAY_TOKEN takes the place of the three OAUTH_ variables where a token is at hand, as in the sandbox.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

const tries = 6
/** Seconds: a limit of a whole day is not worth waiting for here. */
const longestWait = 60

/** The gateway or Devin said no, and asking again would not help. */
class Refused extends Error {
  constructor(status, { reason, title, detail }, decision) {
    // Errors of Devin itself have no reason, and their detail may be a list.
    super(`${status} ${reason ?? title}: ${typeof detail === 'string' ? detail : JSON.stringify(detail)}`)
    this.decision = decision
  }
}

/** Tokens by the client credentials grant (RFC 6749 section 4.4), each used until shortly before it ends. */
function createTokens(env) {
  let token = null
  let endsAt = 0
  return {
    async get() {
      if (env.DEVIN_GATEWAY_TOKEN) return env.DEVIN_GATEWAY_TOKEN
      if (token !== null && Date.now() < endsAt) return token
      const response = await fetch(env.OAUTH_TOKEN_URL, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          client_id: env.OAUTH_CLIENT_ID,
          client_secret: env.OAUTH_CLIENT_SECRET,
          // The gateway accepts tokens that are meant for it; some providers call this parameter `scope` or `resource`.
          audience: env.OAUTH_AUDIENCE ?? 'devin-gateway',
        }),
        signal: AbortSignal.timeout(30_000),
      }).catch((error) => {
        throw new Error(`no token from ${env.OAUTH_TOKEN_URL}: ${causeOf(error)}`)
      })
      if (!response.ok) throw new Error(`no token: ${response.status} ${await response.text()}`)
      const said = await response.json()
      token = said.access_token
      endsAt = Date.now() + Math.max(0, (said.expires_in ?? 60) - 30) * 1000
      return token
    },
    forget() {
      token = null
    },
  }
}

function createGateway(url, tokens) {
  const base = url.replace(/\/$/, '')

  async function call(method, path, body, fields) {
    let renewed = false
    for (let attempt = 1; ; attempt++) {
      const headers = { authorization: `Bearer ${await tokens.get()}`, 'content-type': 'application/json', ...fields }
      let wait
      let failure
      try {
        const response = await fetch(base + path, {
          method,
          headers,
          ...(body === null ? {} : { body: JSON.stringify(body) }),
          signal: AbortSignal.timeout(120_000),
        })
        if (response.ok) {
          const result = await response.json()
          await pace(response.headers.get('ratelimit'))
          return result
        }
        const problem = await response.json().catch(() => ({ detail: response.statusText }))
        if (response.status === 401 && !renewed) {
          tokens.forget()
          renewed = true
          continue
        }
        failure = new Refused(response.status, problem, response.headers.get('gateway-decision'))
        wait = waitAfter(response, problem, attempt)
        if (wait === null) throw failure
      } catch (error) {
        if (error instanceof Refused) throw error
        // Nobody knows whether it was done. A read does no harm, and a create has its key.
        failure = new Error(causeOf(error))
        wait = Math.min(2 ** attempt / 4, 10)
      }
      if (attempt === tries) throw failure
      console.error(`${failure.message}; again in ${wait} s`)
      await sleep(wait * 1000)
    }
  }

  const read = (path) => call('GET', path, null, {})
  return {
    read,
    /** Every item of a list, page by page. A page may be empty and still not be the last one. */
    async *readAll(path, pageSize = 100) {
      for (let after = null; ;) {
        // A cursor holds +, / and =, which have to be percent-encoded.
        const query = new URLSearchParams({ first: pageSize, ...(after === null ? {} : { after }) })
        const page = await read(`${path}?${query}`)
        yield* page.items
        if (!page.has_next_page) return
        after = page.end_cursor
      }
    },
    /** Creates once: every repetition has the same key, so the gateway asks Devin once and repeats its answer. */
    create: (path, body) => call('POST', path, body, { 'idempotency-key': randomUUID() }),
  }
}

/** Seconds until the same request may be sent again; null where that would not help. */
function waitAfter({ status, headers }, { reason }, attempt) {
  const after = headers.has('retry-after') ? Number(headers.get('retry-after')) : null
  if (headers.get('x-should-retry') === 'false') return null
  // Nothing was done. Without Retry-After waiting does not help.
  if (status === 429 || (status === 409 && reason === 'idempotency-in-progress'))
    return after === null || after > longestWait ? null : after
  if ([502, 503, 504].includes(status))
    return after === null ? Math.min(2 ** attempt / 4, 10) : Math.min(after, longestWait)
  return null
}

/** Waits before a limit is hit: RateLimit says what is left (r) and when all of it is back (t). */
async function pace(rateLimit) {
  for (const item of (rateLimit ?? '').split(',')) {
    const left = /;\s*r=(\d+)/.exec(item)?.[1]
    const seconds = Number(/;\s*t=(\d+)/.exec(item)?.[1] ?? 0)
    if (left !== '0' || seconds === 0 || seconds > longestWait) continue
    console.error(`a limit is used up; going on in ${seconds} s`)
    await sleep(seconds * 1000)
  }
}

/** `fetch` says only that it failed; the reason is behind it. */
function causeOf(error) {
  return error.cause?.message || error.cause?.code || error.message
}

/** What is missing before anything can be sent, or null. */
function wrongSetting(env) {
  const oauth = env.DEVIN_GATEWAY_TOKEN ? [] : ['OAUTH_TOKEN_URL', 'OAUTH_CLIENT_ID', 'OAUTH_CLIENT_SECRET']
  const missing = ['DEVIN_GATEWAY_URL', ...oauth].filter((name) => !env[name])
  if (missing.length > 0)
    return `set ${missing.join(', ')}${oauth.length > 0 ? '; or set DEVIN_GATEWAY_TOKEN to a token' : ''}`
  return /^https?:\/\//.test(env.DEVIN_GATEWAY_URL)
    ? null
    : `DEVIN_GATEWAY_URL begins with https://, not ${env.DEVIN_GATEWAY_URL}`
}

const words = process.argv.slice(2)
const wrong = words.length === 2 ? wrongSetting(process.env) : 'usage: devin-gateway.mjs ORGANIZATION PROMPT'
if (wrong !== null) {
  console.error(wrong)
  process.exit(2)
}
const [organization, prompt] = words
const gateway = createGateway(process.env.DEVIN_GATEWAY_URL, createTokens(process.env))
const sessions = `/v3/organizations/${encodeURIComponent(organization)}/sessions`
try {
  // Say what it may cost: a budget refuses a create without a bound.
  const session = await gateway.create(sessions, { prompt, max_acu_limit: 5 })
  console.log(JSON.stringify({ session_id: session.session_id, status: session.status }))
  let listed
  for (let reads = Number(process.env.SAMPLE_READS ?? 1); reads > 0; reads--) {
    listed = 0
    for await (const _ of gateway.readAll(sessions, process.env.SAMPLE_PAGE_SIZE)) listed += 1
  }
  console.log(JSON.stringify({ listed }))
} catch (error) {
  const isRefused = error instanceof Refused
  console.error(isRefused ? `refused: ${error.message} (decision ${error.decision})` : `failed: ${causeOf(error)}`)
  process.exitCode = 1
}
