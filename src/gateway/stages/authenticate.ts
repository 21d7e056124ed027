// Stage: the caller's token, verified. A promise only where signing keys have to be fetched.

import type { Principal } from '../../identity/principal.ts'
import { authorizationField, orInQuery } from '../../identity/token-form.ts'
import type { TokenVerifier } from '../../identity/token-verifier.ts'
import { Problem } from '../../problems.ts'
import type { RequestContext } from '../context.ts'
import { whenReady, type Stage, type StageResult } from './stage.ts'

export function createAuthenticate(tokens: TokenVerifier): Stage {
  return {
    name: 'authenticate',
    run: (context) =>
      whenReady(tokens.verify(authorizationField(context.request.rawHeaders)), (verified) => accept(context, verified)),
  }
}

function accept(context: RequestContext, verified: Principal | Problem): StageResult {
  if (verified instanceof Problem) return orInQuery(verified, context.target.query)
  context.principal = verified
  return undefined
}
