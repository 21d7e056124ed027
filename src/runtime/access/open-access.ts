// Builds the way into the operators' listener: open on loopback, by sign-in where admin.auth says so.

import { createLocalAccess, type Access, type AccessOptions } from '../../admin/access/access.ts'
import { createPoolAccess } from '../../admin/access/pool-access.ts'
import { createSignedInAccess, roleReader } from '../../admin/access/signed-in-access.ts'
import type { Operator } from '../../admin/access/operator.ts'
import { askedPath } from '../../admin/access/request.ts'
import type { AdminConfig } from '../../config/operators/admin-schema.ts'
import { createSignIn } from '../../identity/sign-in/sign-in.ts'
import { createTokenVerifier } from '../../identity/token-verifier.ts'
import { readPlainSecret } from '../../keys/reading.ts'
import { createRemoteSources } from '../../keys/sources/open.ts'
import type { Log } from '../../records/log.ts'

export interface AccessSurroundings {
  readonly config: { readonly admin: AdminConfig; readonly listen: { readonly admin: { readonly host: string } } }
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
  readonly now: () => number
  readonly monotonic: () => number
}

export interface OpenAccess {
  readonly access: Access
  /** The parent of several workers records changes. */
  readonly isAuditedElsewhere: boolean
  /** Begins to fetch the keys of the issuer. Never rejects. */
  start(): Promise<void>
  close(): Promise<void>
}

/** Of one of several workers: its parent alone may ask. */
export function openWorkerAccess(secret: string): OpenAccess {
  return { ...opened(createPoolAccess(secret)), isAuditedElsewhere: true }
}

function opened(access: Access): OpenAccess {
  return { access, isAuditedElsewhere: false, start: async () => {}, close: async () => {} }
}

export function openAccess({ config, env, log, now, monotonic }: AccessSurroundings): OpenAccess {
  const { url, open, auth } = config.admin
  const surface = { url, host: config.listen.admin.host }
  const onRefused: AccessOptions['onRefused'] = ({ kind, reason, status }, decisionId, request, operator) => {
    const { method } = request
    // A browser whose session has ended is no reason to worry.
    const level = kind === 'sign-in-required' ? 'info' : 'warn'
    log[level](
      {
        event: 'operator-refused',
        decision_id: decisionId,
        kind,
        reason,
        status,
        method,
        path: askedPath(request),
        subject: operator?.subject ?? null,
      },
      "a request to the operators' listener was refused",
    )
  }
  if (auth === null) return opened(createLocalAccess(surface, onRefused))

  const remote = createRemoteSources({ env, monotonic })
  const tokens = createTokenVerifier({ issuers: [auth.issuer], now, monotonic, log })
  const isForClient = auth.issuer.audience.every((audience) => audience === auth.clientId)
  const idTokens = isForClient ? tokens : createTokenVerifier({ issuers: [auth.idTokenIssuer], now, monotonic, log })
  const verifiers = [...new Set([tokens, idTokens])]
  const rolesFor = roleReader(auth)
  const signIn = createSignIn({
    auth,
    tokens: idTokens,
    now,
    monotonic,
    // As the source keeps it now, so that a new one counts from the next sign-in on. Null for a public client.
    secret: async () =>
      auth.clientSecret === null ? null : await readPlainSecret(auth.clientSecret, 'client secret', { env, remote }),
    isEnough: (principal) => rolesFor(principal).length > 0,
    onFault: (text) =>
      log.warn({ event: 'sign-in-failed', issuer: auth.issuer.issuer, fault: text }, 'a sign-in failed'),
  })
  const access = createSignedInAccess({
    auth,
    surface,
    open,
    verify: tokens.verify,
    signIn,
    now,
    monotonic,
    onRefused,
    onSession: (event, { subject, issuer, roles }: Operator) =>
      log.info({ event: `operator-${event}`, subject, issuer, roles }, sessionTexts[event]),
  })
  return {
    access,
    isAuditedElsewhere: false,
    async start() {
      await Promise.all(verifiers.map(async (each) => await each.start()))
    },
    async close() {
      for (const each of verifiers) each.close()
      await Promise.all([signIn.close(), remote.close()])
    },
  }
}

const sessionTexts = {
  'signed-in': 'an operator has signed in',
  'signed-out': 'an operator has signed out',
  'session-ended':
    'the session of an operator was ended: the issuer does not confirm it, or its claims give no role any more',
} as const
