// `purge`: drops stored answers of the running gateway.

import { loadConfig } from '../config/load.ts'
import type { Command } from './invocation.ts'
import { adminAddress } from './operators.ts'
import { configFile, configOption } from './setup.ts'
import { UsageError } from './usage.ts'

export const purgeCommand: Command = {
  usage: 'purge --organization ID | --resource ID [--config F]',
  summary: 'drop stored answers about an organization or a resource from the cache of the running gateway',
  positionals: 0,
  options: {
    ...configOption,
    organization: { type: 'string', help: 'everything about this organization' },
    resource: {
      type: 'string',
      help: 'everything about this session, playbook, note, user…; a session id with or without devin-',
    },
  },
  async run(invocation) {
    const names = ['organization', 'resource'].filter((name) => invocation.option(name) !== null)
    const [name] = names
    if (name === undefined || names.length > 1)
      throw new UsageError('say what to drop: --organization ID or --resource ID')
    const { config } = await loadConfig(configFile(invocation), invocation.env)
    const address = `${adminAddress(config.listen.admin)}/api/purge?${name}=${encodeURIComponent(invocation.option(name) ?? '')}`
    const response = await fetch(address, {
      method: 'POST',
      signal: AbortSignal.timeout(5000),
      redirect: 'error',
    }).catch(() => null)
    if (response === null || !response.ok)
      throw new Error(`the running gateway could not be asked at ${adminAddress(config.listen.admin)}`)
    // Our own listener's answer.
    const { dropped } = (await response.json()) as { dropped: number }
    invocation.print(invocation.json ? JSON.stringify({ dropped }) : `${dropped} stored answers dropped`)
    return 0
  },
}
