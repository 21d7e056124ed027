// The one table of everything the gateway itself may answer instead of an upstream's response.

/** A row of the table: what stays the same for every refusal of this kind. */
export interface ProblemKind {
  /** HTTP status of the answer. Never 404: infrastructure tools read it as "gone" and create the object again. */
  readonly status: number
  readonly title: string
  /** Who has to act, for the page behind the `type` address. */
  readonly turn: string
  /** What it means and what to do, for the page behind the `type` address. */
  readonly about: string
}

const kinds = {
  'malformed-request': {
    status: 400,
    title: 'The request is malformed',
    turn: 'the caller',
    about:
      "A header field, the request line, the framing or a parameter is not as it must be, a read has a body, or the query carries the caller's token. The detail says what to repair; the request was not forwarded.",
  },
  'ambiguous-path': {
    status: 400,
    title: 'The path can be read in more than one way',
    turn: 'the caller',
    about:
      'Dot segments, empty segments, backslashes, semicolons, control bytes, double or malformed escapes and escaped slashes outside the parameters that may hold them are refused, because two servers could read them differently. Send the plain path of the operation.',
  },
  'body-unreadable': {
    status: 400,
    title: 'The body cannot be read',
    turn: 'the caller',
    about:
      'The policy has to read this body, and it is not strict JSON: UTF-8 without byte order mark, no duplicate member names, no content coding, at most 64 levels and 10,000 names and values. Send plain JSON.',
  },
  'token-missing': {
    status: 401,
    title: 'No bearer token',
    turn: 'the caller',
    about: 'Send the SSO token as `Authorization: Bearer <token>`.',
  },
  'token-expired': {
    status: 401,
    title: 'The token has expired',
    turn: 'the caller',
    about: 'Fetch a new token from the identity provider and repeat the request.',
  },
  'token-rejected': {
    status: 401,
    title: 'The token was not accepted',
    turn: 'the caller',
    about:
      'The token is malformed, signed by an unknown key, meant for another audience or issuer, lives too long, or is bound to a key that this gateway cannot check. The decision log holds the exact reason under the decision id.',
  },
  'identity-incomplete': {
    status: 403,
    title: 'The token does not say enough about the caller',
    turn: 'the identity team or the owner of the policies',
    about:
      'A needed claim is missing, or no team lists this caller as a member. The detail names the groups and the app that were seen.',
  },
  'sign-in-required': {
    status: 401,
    title: 'Nobody is signed in',
    turn: 'the operator of the gateway',
    about:
      "The operators' listener needs a login. Open `/console/` in a browser to sign in, or send a token of the issuer as `Authorization: Bearer <token>`; commands take `--operator-token FILE`.",
  },
  'sign-in-failed': {
    status: 400,
    title: 'The sign-in did not succeed',
    turn: 'the operator of the gateway',
    about:
      'The browser came back from the issuer with an answer that belongs to no sign-in of this browser, or the issuer refused. Sign in again. The log says what the issuer answered.',
  },
  'role-missing': {
    status: 403,
    title: 'Another role is needed',
    turn: 'who maps roles in `admin.auth.roles`',
    about:
      'The operators of the gateway have roles: viewers see, operators reload, purge and block, key officers rotate keys. The detail names the role that is needed and those that the caller has.',
  },
  'cross-site-request': {
    status: 403,
    title: 'The request may come from another site',
    turn: 'the caller',
    about:
      "The operators' listener takes requests to its own address alone, and changes from its own pages or from programs. The detail says what to change.",
  },
  'unknown-operation': {
    status: 403,
    title: 'No such operation in the catalogue',
    turn: 'the caller, or the operator who keeps the catalogue',
    about:
      'The gateway forwards only operations it knows. Check method and path against the API reference; operations newer than the catalogue can be added in an extension file. Where an older address or another prefix is a likely mistake, the detail names the right one.',
  },
  'not-granted': {
    status: 403,
    title: 'No grant allows this operation',
    turn: "the owner of the team's policy",
    about:
      "Everything is denied unless a grant of the caller's team allows it. Ask the owner of the policy for the operation that the detail names.",
  },
  'organization-not-granted': {
    status: 403,
    title: 'The organization does not belong to the team',
    turn: "the owner of the team's policy",
    about: 'Every place where an organization id stands (path, query, body) must name an organization of the team.',
  },
  guardrail: {
    status: 403,
    title: 'A guardrail forbids this request',
    turn: 'the caller',
    about:
      'The operation is granted, and a guardrail bounds what it may ask for. The detail names the field, the bound and the guardrail.',
  },
  blocked: {
    status: 403,
    title: 'The caller is blocked',
    turn: 'the operator of the gateway',
    about:
      'The operators of the gateway have blocked the subject, the app, the team, the issuer or the token of this caller, whatever the policy allows. The detail says which, why and until when. A new token or a repetition changes nothing; ask the operators.',
  },
  'idempotency-in-progress': {
    status: 409,
    title: 'The first request with this key is still under way',
    turn: 'the caller',
    about:
      'Another request with the same `Idempotency-Key` has not ended yet. Repeat this one after `Retry-After`: it then gets the answer of the first.',
  },
  'idempotency-unclear': {
    status: 409,
    title: 'The outcome of the first request with this key is unknown',
    turn: 'the caller',
    about:
      'The first request with this `Idempotency-Key` was sent, and its outcome is unknown: the connection broke, the Devin API failed or answered too late, the instance of the gateway ended, or the answer was too large to keep. The gateway does not send it again, because that could create a second session. Look whether the Devin API has done it. If not, send the request with a new key.',
  },
  'body-too-large': {
    status: 413,
    title: 'The body is too large',
    turn: 'the caller',
    about: 'The body is larger than this gateway accepts. The detail names the limit.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'The key was used for another request',
    turn: 'the caller',
    about:
      'An `Idempotency-Key` belongs to one request: method, path, query and body must be the same, byte for byte. Send each create with its own key, for example a UUID.',
  },
  'rate-limit-exceeded': {
    status: 429,
    title: 'Too many requests',
    turn: 'the team',
    about: 'Wait for as many seconds as `Retry-After` says.',
  },
  'attempts-exceeded': {
    status: 429,
    title: 'Too many requests with a body',
    turn: 'the caller',
    about:
      'The gateway must read some bodies before it knows whether the request may pass. So each caller may send only so many of them, refused ones included: `limits.attempts` of its team. Wait for as many seconds as `Retry-After` says, and repair refused requests before you send them again.',
  },
  'too-many-anonymous': {
    status: 429,
    title: 'Too many requests without a valid token',
    turn: 'the caller',
    about:
      'The gateway checks only so many tokens that it does not know yet, and answers only so many requests without one: of each client address, and in all. This one was not looked at and leaves no record. Repeat it after `Retry-After`. A token that was accepted before passes always, and so does a new one on a connection that has had a valid token.',
  },
  'concurrency-exceeded': {
    status: 429,
    title: 'Too many requests at once',
    turn: 'the team',
    about: 'Wait until running requests of the team have ended.',
  },
  'budget-exceeded': {
    status: 429,
    title: 'The budget is spent',
    turn: 'the team',
    about:
      'The call may cost more than is left. The detail says how much is left, whose budget it is, and when it begins anew. Wait, end a session, ask for less, or ask the owner of the policy.',
  },
  internal: {
    status: 500,
    title: 'The gateway failed',
    turn: 'the operator of the gateway',
    about: 'A defect of the gateway. The request was not completed; the log holds the cause under the decision id.',
  },
  'upstream-unreachable': {
    status: 502,
    title: 'The Devin API cannot be reached',
    turn: 'the operator of the gateway',
    about:
      'The gateway has no connection to the Devin API, the connection broke before an answer came, or the Devin API has not answered lately and the gateway pauses. If the connection broke after the request was sent, a create may have happened.',
  },
  'upstream-tls-failed': {
    status: 502,
    title: 'The certificate of the Devin API was not accepted',
    turn: 'the operator of the gateway',
    about:
      'Nothing was sent: the certificate is self-signed, expired, for another name or from an unknown authority. Check `upstream.origin` and `upstream.ca`.',
  },
  'upstream-credential-rejected': {
    status: 502,
    title: "The Devin API rejected the gateway's key",
    turn: 'the operator of the gateway',
    about:
      "The caller's own token is fine. The service-user key that was chosen is expired or revoked; the gateway has read its secret again, so a rotated key works from the next request on.",
  },
  'upstream-answer-refused': {
    status: 502,
    title: 'The answer of the Devin API was not passed on',
    turn: 'the operator of the gateway',
    about: "The answer is not well-formed HTTP, or it could not be searched for the gateway's own keys.",
  },
  'key-unavailable': {
    status: 503,
    title: 'No key can serve this operation',
    turn: 'the operator of the gateway',
    about:
      'The policy allows the call, and no service-user key in the inventory holds the permission for this organization, its secret cannot be read or was rejected, or the key is blocked.',
  },
  'identity-provider-unavailable': {
    status: 503,
    title: 'The token cannot be checked at the moment',
    turn: 'the operator of the gateway',
    about: "The signing keys of the token's issuer could not be fetched. Try again after `Retry-After`.",
  },
  'budget-unavailable': {
    status: 503,
    title: 'The budget cannot be read at the moment',
    turn: 'the operator of the gateway',
    about:
      'A budget pays for the call, and the gateway cannot read or write the budget. Nothing was sent. Try again after `Retry-After`; the log says what is wrong.',
  },
  overloaded: {
    status: 503,
    title: 'The gateway is overloaded',
    turn: 'the operator of the gateway',
    about:
      'The process is too busy, it holds as many connections as it may, too many requests wait for a connection to the Devin API, or a limit of cost cannot be checked because the shared store is away. Nothing was sent. Try again after `Retry-After`.',
  },
  'idempotency-unavailable': {
    status: 503,
    title: 'Idempotency keys cannot be looked up at the moment',
    turn: 'the operator of the gateway',
    about:
      'The request carries an `Idempotency-Key`, and the store of the keys cannot be reached or is full. It was not sent, because the gateway could not tell a repetition from a second create. Try again with the same key after `Retry-After`.',
  },
  draining: {
    status: 503,
    title: 'This instance is shutting down',
    turn: 'nobody',
    about: 'Repeat the request on a new connection: another instance takes it.',
  },
  'upstream-timeout': {
    status: 504,
    title: 'The Devin API did not answer in time',
    turn: 'the operator of the gateway',
    about: 'The connection or the answer took longer than `upstream.timeouts` allow. A create may have happened.',
  },
} as const satisfies Record<string, ProblemKind>

/** The stable name of a kind: last segment of the problem's `type`. */
export type ProblemKindName = keyof typeof kinds

export const problemKinds: Readonly<Record<ProblemKindName, ProblemKind>> = kinds
