// `start`: the production process. SIGTERM and SIGINT drain, SIGHUP reloads.

import { Refused } from '../config/diagnostics.ts'
import { loadConfig } from '../config/load.ts'
import { Problem } from '../problems.ts'
import { createLog } from '../records/log.ts'
import { startGateway, type Gateway } from '../runtime.ts'
import type { Command } from './invocation.ts'
import { configFile, configOption, packageVersion } from './setup.ts'

export const startCommand: Command = {
  usage: 'start [--config config/gateway.yaml]',
  summary: 'run the gateway; SIGTERM drains, SIGHUP reloads',
  positionals: 0,
  options: configOption,
  async run(invocation) {
    const { config } = await loadConfig(configFile(invocation), invocation.env)
    const log = createLog({ level: config.log.level, ownErrors: [Problem, Refused] })
    const gateway = await startGateway({ config, env: invocation.env, log, version: packageVersion() })
    await untilTold(gateway)
    return 0
  },
}

/** Resolves when the process was told to stop and has drained. A second signal stops at once. */
export function untilTold(gateway: Gateway): Promise<void> {
  return new Promise((resolve, reject) => {
    process.on('SIGHUP', () => void gateway.reload('SIGHUP'))
    let told = false
    const stop = (): void => {
      if (told) process.exit(1)
      told = true
      gateway.drain().then(resolve, reject)
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
}
