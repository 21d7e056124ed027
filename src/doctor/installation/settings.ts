// Settings that are valid, and that a support engineer would ask about. Pure.

import type { Config } from '../../config/load.ts'
import { isLoopbackHost } from '../../config/values/addresses.ts'
import type { PositionOf } from '../../config/yaml/document.ts'
import type { Examination } from '../examination.ts'
import type { Findings, FindingPlace } from '../finding.ts'
import { counted } from '../../config/plural.ts'

const minuteMs = 60_000
const dayMs = 86_400_000
const longestToleranceMs = 5 * minuteMs
const longestLifetimeMs = 7 * dayMs

/** `knows`: whether a section of the file is well-formed. */
export function settingsExamination(
  config: Config,
  knows: (section: string) => boolean,
  positionOf: PositionOf,
): Examination {
  const at = (...path: (string | number)[]): FindingPlace => ({ file: config.file, ...positionOf(path) })
  return {
    area: 'setup',
    about: null,
    examine(found) {
      const before = found.list.length
      if (knows('listen')) addListeners(found, config, at)
      if (knows('issuers')) addIssuers(found, config, at)
      if (knows('key_identity') && config.keyIdentity === 'off')
        found.warning(
          'key-identity',
          'key_identity is off: Devin is not asked who the keys are, and a key of another organization would be used.',
          'Remove the setting, or write report.',
          null,
          at('key_identity'),
        )
      if (knows('upstream')) addUpstream(found, config, at)
      if (knows('records') && !config.records.audit.startsWith('/') && config.checkpoints === null)
        found.warning(
          'audit',
          `The audit log goes to ${config.records.audit}: each start begins a new chain, and nothing outside knows where one ended.`,
          'Name a file in records.audit, or configure checkpoints (docs/audit.md).',
          null,
          at('records', 'audit'),
        )
      if (found.list.length === before) found.ok('settings', 'no setting that is known to cause trouble')
    },
  }
}

type At = (...path: (string | number)[]) => FindingPlace

function addListeners(found: Findings, { listen }: Config, at: At): void {
  const { gateway, tls, timeouts } = listen
  if (!isLoopbackHost(gateway.host) && tls === null)
    found.warning(
      'plain-listener',
      `listen.gateway takes connections of other machines (${gateway.host}:${gateway.port}) without TLS: tokens of callers cross the network as they are.`,
      'Set listen.tls; or have a balancer end TLS, and let nobody else reach this port.',
      null,
      at('listen', 'gateway'),
    )
  if (timeouts.headMs > 5 * minuteMs || timeouts.handshakeMs > 5 * minuteMs)
    found.warning(
      'timeouts',
      'listen.timeouts lets a connection stay open for minutes without a request: few slow callers can take all connections.',
      'Keep head and handshake below a minute.',
      null,
      at('listen', 'timeouts'),
    )
}

function addIssuers(found: Findings, { issuers }: Config, at: At): void {
  for (const [index, { issuer, clockToleranceMs, maxLifetimeMs }] of issuers.entries()) {
    if (clockToleranceMs > longestToleranceMs)
      found.warning(
        'clock-tolerance',
        `Tokens of ${issuer} are accepted for ${Math.round(clockToleranceMs / minuteMs)} minutes after their end.`,
        'Set the clocks by NTP, and lower clock_tolerance to 30s.',
        issuer,
        at('issuers', index, 'clock_tolerance'),
      )
    if (maxLifetimeMs > longestLifetimeMs)
      found.warning(
        'token-lifetime',
        `Tokens of ${issuer} may live for ${counted(Math.round(maxLifetimeMs / dayMs), 'day')}: a stolen one is useful for as long.`,
        'Lower max_lifetime to what the issuer gives.',
        issuer,
        at('issuers', index, 'max_lifetime'),
      )
  }
}

function addUpstream(found: Findings, { upstream, listen }: Config, at: At): void {
  const { connections, maxWaiting } = upstream
  if (connections + maxWaiting > listen.maxConnections)
    found.warning(
      'connections',
      `listen.max_connections is ${listen.maxConnections}, and Devin may have ${counted(connections, 'request')} at once with ${maxWaiting} more waiting: callers are turned away before the queue is used.`,
      'Raise listen.max_connections, or lower upstream.max_waiting.',
      null,
      at('listen', 'max_connections'),
    )
}
