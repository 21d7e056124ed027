// `keys`: the inventory. Last use, unused permissions and state come from the running gateway; without one they are unknown.

import { declaredKeyView } from '../../admin/views.ts'
import { isExpired } from '../../keys/expiry.ts'
import type { KeyHandle } from '../../keys/key.ts'
import type { Command } from '../invocation.ts'
import { liveKeys } from '../keys/live-keys.ts'
import { reportKeys } from '../keys/report.ts'
import { configOption, loadSetup, policiesOption, readRunningConfig } from '../setup.ts'
import { UsageError } from '../usage.ts'

export const keysCommand: Command = {
  usage: 'keys [--report [--log FILE]… [--days N]] [--config F]',
  summary:
    'show the inventory of service-user keys: permissions, last use, unused permissions, expiry, state; never a value',
  positionals: 10_000,
  options: {
    ...configOption,
    ...policiesOption,
    report: { type: 'boolean', help: 'hold the powers of each key against their use, and say what to do' },
    log: {
      type: 'string',
      multiple: true,
      help: 'with --report: decision log that says what was used; repeatable, - for standard input',
    },
    days: { type: 'string', help: 'with --report: look at so many days before the last record (default: 30)' },
  },
  async run(invocation) {
    // A shell expands `--log decisions*` to several words.
    const logs = [...invocation.list('log'), ...invocation.positionals]
    if (invocation.positionals.length > 0 && invocation.list('log').length === 0)
      throw new UsageError(`"${invocation.positionals[0] ?? ''}" is one argument too many: logs are given by --log`)
    if (!invocation.flag('report') && (logs.length > 0 || invocation.option('days') !== null))
      throw new UsageError('--log and --days go with --report: keys --report --log FILE')
    const { config, loaded } = await loadSetup(invocation, { read: readRunningConfig })
    const live = await liveKeys(config, invocation)
    if (invocation.flag('report'))
      return await reportKeys(invocation, logs, { policy: loaded.policy, secrets: loaded.secrets, live })
    const keys = loaded.policy.keys.map(
      (handle) =>
        live?.find((key) => key.id === handle.id) ??
        declaredKeyView(
          handle,
          stateOf(handle, loaded.secrets.values.has(handle.id) || loaded.unasked.includes(handle.id)),
        ),
    )
    if (invocation.json) invocation.print(JSON.stringify({ live: live !== null, keys }))
    else {
      const { paint } = invocation
      for (const key of keys) {
        const where =
          key.scope === 'organization'
            ? `organization ${key.organization ?? ''}`
            : `enterprise, serves organizations: ${[key.serves_organizations].flat().join(', ')}`
        const state = key.state === 'ready' ? paint('green', key.state) : paint('yellow', key.state)
        invocation.print(`${paint('bold', key.id)}  ${state}  ${where}`)
        invocation.print(`    permissions  ${key.permissions.join(', ')}`)
        if (live !== null)
          invocation.print(
            `    unused       ${key.unused_permissions.length === 0 ? 'none' : key.unused_permissions.join(', ')}`,
          )
        if (key.source_error !== null) invocation.print(`    its source   ${key.source_error}`)
        const { identity } = key
        if (identity?.service_user != null)
          invocation.print(
            `    belongs to   ${identity.name === null ? '' : `${identity.name}, `}${identity.service_user}, of ${identity.organization ?? 'the enterprise'}; asked ${identity.checked_at ?? 'never'}`,
          )
        if (identity?.fault != null) invocation.print(`    quarantined  it ${identity.fault}. ${identity.action ?? ''}`)
        if (identity?.changed_from != null)
          invocation.print(`    changed      belonged to ${identity.changed_from} before`)
        if (identity?.last_error != null) invocation.print(`    not asked    ${identity.last_error}`)
        if (identity?.ends_at != null) invocation.print(`    ends         ${identity.ends_at} at Devin`)
        invocation.print(
          `    last used    ${key.last_used_at ?? (live === null ? 'unknown (no running gateway)' : 'never since start')}, expires ${key.expires_at ?? 'unknown'}`,
        )
      }
    }
    return 0
  },
}

/** Without a gateway only the presence and the expiry of a secret can be checked. */
function stateOf(handle: KeyHandle, mayHaveValue: boolean): string {
  if (isExpired(handle, Date.now())) return 'expired'
  return mayHaveValue ? 'unknown' : 'unresolved'
}
