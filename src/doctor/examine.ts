// All examinations of an installation, in the order in which they are told, and the clocks that they have seen.

import type { Config } from '../config/load.ts'
import type { PositionOf } from '../config/yaml/document.ts'
import type { KeyView } from '../admin/views.ts'
import type { PolicySet } from '../policy/model/policy-set.ts'
import { runExamination, type Examination, type Examined } from './examination.ts'
import type { Finding } from './finding.ts'
import { outsideExaminations, type OutsideParts } from './installation/outside.ts'
import type { PageReader } from './installation/pages.ts'
import { portExaminations, runningExaminations } from './installation/running.ts'
import { settingsExamination } from './installation/settings.ts'
import { diskExaminations } from './machine/disk.ts'
import { fileModeExamination } from './machine/file-modes.ts'
import { proxyNote, surroundingsExamination, versionExamination, type Version } from './machine/surroundings.ts'
import { clockExamination, type ClockReading } from './network/clocks.ts'
import { issuerExaminations } from './peers/issuers.ts'
import { keyExamination } from './peers/keys.ts'
import { otherExaminations } from './peers/others.ts'
import { storeExamination } from './peers/store.ts'
import { upstreamExamination } from './peers/upstream.ts'

export interface Installation {
  /** Null: there is none here, or nothing of it can be read. */
  readonly configuration: {
    readonly config: Config
    /** Sections that mean nothing. */
    readonly broken: ReadonlySet<string>
    readonly positionOf: PositionOf
  } | null
  /** Null where the policies cannot be used. */
  readonly policy: PolicySet | null
  /** Null: the gateway of the configuration is not looked for. */
  readonly running: { readonly address: string; readonly read: PageReader } | null
  /** The gateway is not started yet: its addresses have to be free. */
  readonly isBeforeStart: boolean
  readonly outside: Pick<OutsideParts, 'urls' | 'ca' | 'token'>
  readonly version: Version
  readonly env: Readonly<Record<string, string | undefined>>
  /** Of each examination. */
  readonly withinMs: number
}

/** Runs all of them. What lies on this machine comes first, so that names which nobody resolves hold up no file. */
export async function examineInstallation(installation: Installation): Promise<readonly Examined[]> {
  const readings: ClockReading[] = []
  const run = (examinations: readonly Examination[]): Promise<Examined[]> =>
    Promise.all(examinations.map((each) => runExamination(each, installation.withinMs)))
  const local = await run(localExaminations(installation))
  const remote = await run(remoteExaminations(installation, (reading) => void readings.push(reading)))
  const all = [...local, ...remote]
  const findings = all.flatMap((each) => each.findings)
  return [...all, ...(await run([clockExamination(readings), conclusions(findings, installation)]))]
}

function localExaminations({ configuration, policy, version, env, isBeforeStart }: Installation) {
  const all: Examination[] = [versionExamination(version)]
  const config = configuration?.config ?? null
  if (configuration !== null) {
    const knows = knowsOf(configuration.broken)
    all.push(fileModeExamination(configuration.config, policy))
    if (knows('records') && knows('budgets') && knows('checkpoints'))
      all.push(...diskExaminations(configuration.config, policy?.budgets.any === true))
    all.push(settingsExamination(configuration.config, knows, configuration.positionOf))
    if (isBeforeStart && knows('listen')) all.push(...portExaminations(configuration.config))
  }
  all.push(surroundingsExamination(config, env))
  return all
}

function remoteExaminations(installation: Installation, onClock: (reading: ClockReading) => void) {
  const { configuration, policy, running, outside, version, env, withinMs } = installation
  const all: Examination[] = []
  const { promise: shown, resolve: keysShown } = Promise.withResolvers<readonly KeyView[] | null>()
  if (configuration !== null) {
    const { config, broken } = configuration
    const knows = knowsOf(broken)
    if (knows('issuers'))
      all.push(
        ...issuerExaminations(
          knows('admin') ? config : { ...config, admin: { ...config.admin, auth: null } },
          withinMs,
          onClock,
        ),
      )
    if (knows('upstream')) {
      all.push(upstreamExamination(config, onClock))
      if (policy !== null) all.push(keyExamination({ config, policy, env, withinMs, running: shown }))
    }
    const ofStore = knows('store') ? storeExamination(config, policy?.budgets.any === true, onClock) : null
    if (ofStore !== null) all.push(ofStore)
    all.push(
      ...otherExaminations({
        telemetry: knows('telemetry') ? config.telemetry : null,
        checkpoints: knows('checkpoints') ? config.checkpoints : null,
      }),
    )
    if (running !== null && knows('listen'))
      all.push(
        ...runningExaminations({
          ...running,
          config,
          version: version.version,
          revision: policy?.revision ?? null,
          onKeys: keysShown,
        }),
      )
    else keysShown(null)
  } else keysShown(null)
  const isAlone =
    configuration === null || configuration.broken.has('store') ? null : configuration.config.store === null
  all.push(...outsideExaminations({ ...outside, onClock, isAlone }))
  return all
}

function knowsOf(broken: ReadonlySet<string>): (section: string) => boolean {
  return (section) => !broken.has(section)
}

/** What follows from several findings together. */
function conclusions(found: readonly Finding[], { configuration, policy, env }: Installation): Examination {
  return {
    area: 'setup',
    about: null,
    examine(more) {
      const isCutOff = found.some(({ id, status }) => status === 'error' && /\.(?:dns|connection)$/.test(id))
      const proxy = isCutOff ? proxyNote(env) : null
      if (proxy !== null) more.warning('proxy', proxy, 'Let this machine reach them directly, by name and by port.')
      if (policy === null && configuration !== null)
        more.skipped('keys', 'The keys were not asked who they are, because the policies cannot be used.')
      for (const section of configuration?.broken ?? [])
        if (examined.includes(section))
          more.skipped(
            'section',
            `What \`${section}\` says was not examined, because it is broken.`,
            'Correct it first, then run doctor again.',
            section,
          )
    },
  }
}

/** Sections that something would have been examined of. */
const examined: readonly string[] = [
  'listen',
  'upstream',
  'issuers',
  'admin',
  'store',
  'records',
  'budgets',
  'checkpoints',
  'telemetry',
]
