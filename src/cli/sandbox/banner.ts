// What the sandbox says when it runs: addresses, and requests to paste.

import { join } from 'node:path'
import { shellWord } from '../../policy/tools/shell-word.ts'
import { trustOf, type CurlTrust } from './curl.ts'
import type { Sandbox } from '../../sandbox/sandbox.ts'
import type { Create, FirstRequests } from './requests.ts'

type Paint = (colour: 'bold' | 'green' | 'red' | 'yellow', text: string) => string

/** Where everything is. */
export function addressesOf({ addresses, config, simulator, issuer, directory }: Sandbox): Record<string, string> {
  return {
    ...addresses,
    upstream: simulator.origin,
    issuer: issuer.origin,
    records: join(directory, 'records'),
    config: config.file,
    policies: config.policiesDirectory,
    ...(config.shadowPoliciesDirectory === null ? {} : { shadow: config.shadowPoliciesDirectory }),
  }
}

/** `own`: the configuration that was named with `--config`, for the commands to paste. */
export function bannerOf(sandbox: Sandbox, requests: FirstRequests | null, own: string | null, paint: Paint): string {
  const at = addressesOf(sandbox)
  return [
    `${paint('bold', 'devin-gateway sandbox')}: the real gateway, a simulated Devin API, an SSO issuer of its own`,
    [
      `  callers       ${at['gateway'] ?? ''}`,
      `  operators     ${at['admin'] ?? ''}   (/console/ in a browser; /readyz, /metrics, /api/status, /api/keys)`,
      `  Devin API     ${at['upstream'] ?? ''}   (simulated)`,
      `  SSO issuer    ${at['issuer'] ?? ''}`,
      `  policies      ${at['policies'] ?? ''}`,
      ...(at['shadow'] === undefined ? [] : [`  shadow set    ${at['shadow']}`]),
      `  records       ${at['records'] ?? ''}`,
    ].join('\n'),
    ...(requests === null ? [] : toPaste(trustOf(sandbox), requests, own, paint)),
    `Change a policy file while this runs: a good set is in force within about a second, a bad one is refused here.`,
    'Ctrl-C stops everything.',
  ].join('\n\n')
}

function toPaste(
  trust: CurlTrust,
  { team, allowed, denied, cached, created, bounded }: FirstRequests,
  own: string | null,
  paint: Paint,
): string[] {
  const base = trust.address
  const auth = '-H "Authorization: Bearer $TOKEN"'
  const config = own === null ? '' : ` --config ${shellWord(own)}`
  const curl = `curl -i${trust.options}`
  const get = (path: string): string => `  ${curl} "${base}${path}" ${auth}`
  const post = ({ path, body }: Create): string =>
    `  ${curl} "${base}${path}" ${auth} \\\n    -H "Content-Type: application/json" -d '${body}'`
  const parts = [
    `Paste into another terminal, in this folder. First a token, as a member of team ${team} has it:`,
    `  TOKEN=$(npx devin-gateway token${config} --team ${team})`,
  ]
  if (allowed !== null)
    parts.push(`${paint('green', 'allowed')}: the gateway swaps in the least powerful key that suffices`, get(allowed))
  if (denied !== null)
    parts.push(
      `${paint('red', 'denied')}: this team may not; the answer says why, and holds the id of the decision`,
      get(denied),
    )
  if (cached !== null)
    parts.push(
      `${paint('yellow', 'cached')}: the second request is answered from the cache; see Cache-Status`,
      `${get(cached)}\n${get(cached)}`,
    )
  if (created !== null) parts.push(`${paint('green', 'created')}: the team may start sessions`, post(created))
  if (bounded !== null)
    parts.push(
      `${paint('red', 'bounded')}: the create is granted, but a guardrail bounds what a session may cost`,
      post(bounded),
    )
  if (denied !== null)
    parts.push(
      'Why a request is allowed or denied, and which rule comes nearest:',
      `  npx devin-gateway explain${config} --team ${team} GET ${denied}`,
      'The same for a decision that was made, by the `decision_id` of its answer:',
      `  npx devin-gateway explain${config} DECISION_ID`,
    )
  return parts
}
