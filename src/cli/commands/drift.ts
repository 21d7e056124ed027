// `drift`: what a published OpenAPI document has that the catalogue lacks, and the other way round; whom it concerns; an
// extension file for what is new.

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { compileCatalogue, type Catalogue } from '../../catalogue/catalogue.ts'
import { devinApi } from '../../catalogue/data.ts'
import { compare } from '../../catalogue/drift/compare.ts'
import { readOpenApi } from '../../catalogue/drift/document.ts'
import { propose } from '../../catalogue/drift/proposal.ts'
import { readExtension, type Extension } from '../../catalogue/extension.ts'
import { loadCatalogue } from '../../catalogue/load.ts'
import { loadConfig } from '../../config/load.ts'
import { usualStability } from '../../config/schema.ts'
import { loadPolicies } from '../../policy/loading/load.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { driftReport, type DriftReport } from '../drift/report.ts'
import { driftLines } from '../drift/text.ts'
import { failKinds } from '../fail-on.ts'
import { readInput } from '../input.ts'
import type { Command, Invocation } from '../invocation.ts'
import { configFile, namedConfig, configOption, loadSetup, policiesOption } from '../setup.ts'
import { painter } from '../style.ts'
import { UsageError } from '../usage.ts'

/** Far above the size of any published document. */
const mostBytes = 32 * 1024 * 1024
const kinds = ['new', 'changed', 'vanished'] as const

export const driftCommand: Command = {
  usage: 'drift SPEC [--partial] [--extension] [--fail-on new,changed,vanished] [--config F] [--policies DIR]',
  summary:
    'a published OpenAPI document (file or -) against the catalogue: new, changed and vanished operations, and whom they concern',
  positionals: 1,
  options: {
    ...configOption,
    ...policiesOption,
    partial: {
      type: 'boolean',
      help: 'the document describes only a part of the API: missing operations do not count as vanished',
    },
    extension: { type: 'boolean', help: 'write an extension file for the new operations to standard output' },
    'fail-on': { type: 'string', help: 'end with 1 if there is any of these: new, changed, vanished' },
  },
  async run(invocation) {
    const [spec] = invocation.positionals
    if (spec === undefined) throw new UsageError('say which document: drift openapi.yaml, or - for standard input')
    const failOn = failKinds(invocation.option('fail-on'), kinds)
    const text = await readInput(spec, mostBytes)
    const document = readOpenApi(spec === '-' ? 'standard input' : spec, text)
    const { catalogue, extensions, policy } = await surroundings(invocation)
    const drift = compare(document, catalogue, invocation.flag('partial'))
    const proposal = propose(drift.new, catalogue)
    const extended = extendedBy(proposal.text, extensions)
    const report = driftReport({ document, drift, proposal, policy, catalogue, extended })
    tellReport(invocation, report, proposal.text)
    return kinds.some((kind) => failOn.has(kind) && report[kind].length > 0) ? 1 : 0
  },
}

interface Surroundings {
  readonly catalogue: Catalogue
  readonly extensions: readonly Extension[]
  /** Null where there are no policies to ask. */
  readonly policy: PolicySet | null
}

/** Without a configuration: the built-in catalogue, and the policies that are named, if any. */
async function surroundings(invocation: Invocation): Promise<Surroundings> {
  const file = configFile(invocation)
  const directory = invocation.option('policies')
  if (namedConfig(invocation) !== null || existsSync(file)) {
    const { config } = await loadConfig(file, invocation.env, { missing: 'reported' })
    const { extensions } = await loadCatalogue(config.catalogue)
    const { loaded } = await loadSetup(invocation)
    return { catalogue: loaded.policy.catalogue, extensions, policy: loaded.policy }
  }
  const { catalogue, extensions } = await loadCatalogue({ stability: usualStability, files: [] })
  if (directory === null) return { catalogue, extensions, policy: null }
  const { policy } = await loadPolicies({
    directory: resolve(directory),
    catalogue,
    sources: { env: invocation.env, origin: '' },
    secrets: 'reported',
  })
  return { catalogue, extensions, policy }
}

/** The catalogue with everything that is proposed, served: grants that would cover it show. */
function extendedBy(text: string, extensions: readonly Extension[]): Catalogue {
  const { extension } = readExtension({ file: 'proposal', text })
  const proposed = (extension?.operations ?? []).map((operation) => ({ ...operation, served: true }))
  return compileCatalogue({
    data: devinApi,
    // Of the built-in operations it decides nothing here which are served.
    stability: usualStability,
    extensions: [...extensions, { file: 'proposal', operations: proposed }],
  }).catalogue
}

function tellReport(invocation: Invocation, report: DriftReport, extension: string): void {
  const wanted = invocation.flag('extension')
  if (invocation.json) {
    invocation.print(JSON.stringify(wanted ? { ...report, extension } : report))
    return
  }
  const [target, write] = wanted ? [invocation.err, invocation.tell] : [invocation.out, invocation.print]
  for (const line of driftLines(report, painter(target, invocation.env))) write(line)
  if (wanted) invocation.out.write(extension)
}
