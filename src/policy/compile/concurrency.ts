// Limits of requests under way compared with the connections to the upstream: a limit that lets one team take all of them
// bounds nothing. Pure.

import type { Diagnostic } from '../../config/diagnostics.ts'
import type { GatewayLimitsDocument, TeamDocument } from '../documents/document.ts'

/** Warnings about `concurrent` of teams and of all together that `upstream.connections` of one instance cannot serve. */
export function concurrencyWarnings(
  teams: readonly TeamDocument[],
  [gateway]: readonly GatewayLimitsDocument[],
  connections: number,
): readonly Diagnostic[] {
  const warnings: Diagnostic[] = []
  const most = gateway?.limits.mode === 'enforce' ? gateway.limits.concurrent : null
  if (gateway !== undefined && most !== null && most > connections)
    warnings.push({
      file: gateway.file,
      ...gateway.positionOf(['limits', 'concurrent']),
      severity: 'warning',
      message: `concurrent lets ${most} requests of all teams be under way, and upstream.connections is ${connections}: the rest waits for a connection instead of being refused; lower it to at most ${connections}, or raise upstream.connections`,
    })
  const bounded = teams.flatMap((document) => {
    const concurrent = document.limits?.mode === 'enforce' ? document.limits.concurrent : null
    return concurrent === null ? [] : [{ document, concurrent }]
  })
  for (const { document, concurrent } of bounded) {
    if (concurrent < connections) continue
    warnings.push({
      file: document.file,
      ...document.positionOf(['limits', 'concurrent']),
      severity: 'warning',
      message: `concurrent lets team ${document.team} have ${concurrent} requests under way, and upstream.connections is ${connections}: it could take every connection; lower it to fewer, or raise upstream.connections`,
    })
  }
  const [first] = bounded
  const sum = bounded.reduce((total, { concurrent }) => total + concurrent, 0)
  if (warnings.length > 0 || first === undefined || most !== null || sum <= connections) return warnings
  return [
    {
      file: first.document.file,
      ...first.document.positionOf(['limits', 'concurrent']),
      severity: 'warning',
      message: `the teams together may have ${sum} requests under way, and upstream.connections is ${connections}: bound them together by limits.concurrent in limits.yaml, or raise upstream.connections`,
    },
  ]
}
