// `purge`: drops stored answers of the running gateway, and of all that share its store.

import { policyForNames, refuseMisspelled, unknownOrganization } from '../callers/known.ts'
import { counted } from '../../config/plural.ts'
import type { Purged } from '../../admin/views.ts'
import type { Command } from '../invocation.ts'
import { operatorOption, operatorsOf, unreachable } from '../operators.ts'
import { configOption, readRunningConfig } from '../setup.ts'
import { UsageError } from '../usage.ts'

export const purgeCommand: Command = {
  usage: 'purge --organization ID | --resource ID [--config F]',
  summary:
    'drop stored answers about an organization or a resource, from the running gateway and all that share its store',
  positionals: 0,
  options: {
    ...configOption,
    ...operatorOption,
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
    const { config } = await readRunningConfig(invocation)
    const organization = invocation.option('organization')
    const policy = organization === null ? null : await policyForNames(invocation)
    if (organization !== null && policy !== null) refuseMisspelled(organization, policy)
    const { address, demand } = operatorsOf(config, invocation)
    const path = `/api/purge?${name}=${encodeURIComponent(invocation.option(name) ?? '')}`
    const response = await demand(path, 15_000, { method: 'POST' })
    if (!response.ok) throw unreachable(address)
    // Our own listener's answer.
    const purged = (await response.json()) as Purged
    invocation.print(invocation.json ? JSON.stringify(purged) : sentence(purged))
    if (organization !== null && policy !== null)
      for (const text of unknownOrganization(organization, policy)) invocation.tell(`note: ${text}`)
    return purged.everywhere ? 0 : 1
  },
}

function sentence({ dropped, instances, silent, everywhere }: Purged): string {
  if (!everywhere)
    return `${counted(dropped, 'stored answer')} dropped here; the shared store is away, so no other instance was reached`
  const others = silent === 0 ? '' : `; ${silent} did not answer and cannot serve theirs any more`
  return `${counted(dropped, 'stored answer')} dropped${instances === 1 ? '' : ` by ${instances} instances`}${others}`
}
