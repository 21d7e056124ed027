// What surrounds the process: the runtime, the environment, the memory that a container grants.

import { readFile } from 'node:fs/promises'
import type { Config } from '../../config/load.ts'
import type { Examination } from '../examination.ts'
import type { Findings } from '../finding.ts'

type Environment = Readonly<Record<string, string | undefined>>

export interface Version {
  readonly version: string
  readonly commit: string | null
  readonly node: string
}

const leastNode = 24

export function versionExamination({ version, commit, node }: Version): Examination {
  return {
    area: 'versions',
    about: null,
    examine(found) {
      found.ok('package', `devin-gateway ${version}${commit === null ? '' : `, commit ${commit.slice(0, 12)}`}`)
      if (Number(node.split('.')[0]) < leastNode)
        found.error('node', `This is Node.js ${node}.`, `The gateway needs Node.js ${leastNode} or later.`)
      else found.ok('node', `Node.js ${node}`)
    },
  }
}

export function surroundingsExamination(config: Config | null, env: Environment): Examination {
  return {
    area: 'setup',
    about: null,
    async examine(found) {
      addVariables(found, env)
      await addExtraAuthorities(found, env)
      if (config !== null) await addMemory(found, config)
    },
  }
}

function addVariables(found: Findings, env: Environment): void {
  if (env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0')
    found.warning(
      'tls-verification',
      'NODE_TLS_REJECT_UNAUTHORIZED is 0. It changes nothing for the gateway, which verifies certificates always, but somebody expects it to.',
      'Remove the variable, and name missing authorities in upstream.ca, issuers[].ca or store.ca.',
    )
  const options = env['NODE_OPTIONS'] ?? ''
  if (/--inspect/.test(options))
    found.error(
      'debugger',
      'NODE_OPTIONS opens a debugger (--inspect): whoever reaches it reads every key out of the memory.',
      'Remove it.',
    )
}

async function addExtraAuthorities(found: Findings, env: Environment): Promise<void> {
  const file = env['NODE_EXTRA_CA_CERTS'] ?? ''
  if (file === '') return
  const text = await readFile(file, 'utf8').catch(() => null)
  if (text === null || !text.includes('-----BEGIN CERTIFICATE-----'))
    found.error(
      'extra-authorities',
      `NODE_EXTRA_CA_CERTS names ${file}, which ${text === null ? 'cannot be read' : 'holds no PEM certificate'}: Node.js goes on without it.`,
      'Correct or remove the variable.',
    )
}

const proxyVariables = ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy', 'HTTP_PROXY', 'http_proxy']

/** What to say where a server cannot be reached and a proxy is set; null where none is. */
export function proxyNote(env: Environment): string | null {
  const name = proxyVariables.find((each) => (env[each] ?? '') !== '')
  return name === undefined
    ? null
    : `${name} is set, and the gateway connects directly: it uses no proxy. Servers that only a proxy reaches are not reached.`
}

const mebi = 1024 ** 2
/** As measured with the usual cache, without it. */
const baseBytes = 190 * mebi
const cgroupFile = '/sys/fs/cgroup/memory.max'

async function addMemory(found: Findings, { cache }: Config): Promise<void> {
  const text = await readFile(cgroupFile, 'utf8').catch(() => '')
  // Without a limit it says `max`.
  const limit = Number(text.trim())
  if (text === '' || !Number.isFinite(limit) || limit === 0) return
  const needed = baseBytes + cache.maxBytes
  const inMebi = (bytes: number): string => `${Math.round(bytes / mebi)} MiB`
  if (limit < needed)
    found.warning(
      'memory',
      `This container may use ${inMebi(limit)}, and with a full cache the gateway needs about ${inMebi(needed)}: it would be killed.`,
      'Give it more memory, or lower cache.max_size (docs/performance.md).',
    )
  else found.ok('memory', `${inMebi(limit)} of memory; about ${inMebi(needed)} are needed with a full cache`)
}
