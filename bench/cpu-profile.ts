// Reads a .cpuprofile (V8's format: nodes, samples and the microseconds between them) and adds up self time by function.

import { fileURLToPath } from 'node:url'

/** The part of the format that is read here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  /** Microseconds of the monotonic clock, the one of `process.hrtime`. */
  readonly startTime: number
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

export interface SelfTime {
  readonly name: string
  readonly place: string
  /** Where it belongs: a package, `src/…` or Node itself. */
  readonly group: string
  readonly us: number
}

/** Self time by function between two moments of the monotonic clock, idle time left out, the largest first. */
export function selfTimes(profile: CpuProfile, fromUs: number, toUs: number): readonly SelfTime[] {
  const spent = new Map<number, number>()
  let atUs = profile.startTime
  for (const [index, id] of profile.samples.entries()) {
    const lasted = profile.timeDeltas[index + 1] ?? 0
    atUs += profile.timeDeltas[index] ?? 0
    if (atUs >= fromUs && atUs < toUs) spent.set(id, (spent.get(id) ?? 0) + lasted)
  }
  const byFunction = new Map<string, SelfTime>()
  for (const { id, callFrame } of profile.nodes) {
    const us = spent.get(id)
    if (us === undefined || callFrame.functionName === '(idle)') continue
    const name = callFrame.functionName === '' ? '(anonymous)' : callFrame.functionName
    const { place, group } = placeOf(callFrame.url, callFrame.lineNumber + 1)
    const key = `${name} ${place}`
    byFunction.set(key, { name, place, group, us: (byFunction.get(key)?.us ?? 0) + us })
  }
  return [...byFunction.values()].sort((a, b) => b.us - a.us)
}

const root = fileURLToPath(new URL('../', import.meta.url))

function placeOf(url: string, line: number): { place: string; group: string } {
  if (url === '') return { place: 'native', group: 'native' }
  if (url.startsWith('node:')) return { place: `${url}:${line}`, group: groupOfNode(url) }
  const path = (url.startsWith('file:') ? fileURLToPath(url) : url).replace(root, '')
  const inPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]
  const group = inPackage ?? path.split('/').slice(0, 2).join('/')
  return { place: `${path.replace('node_modules/', '')}:${line}`, group }
}

function groupOfNode(url: string): string {
  if (/http/.test(url)) return 'node:http'
  if (/stream|event|timers|task_queue|nextTick|process/.test(url)) return 'node: streams, events, timers'
  if (/net|tls|buffer|dgram/.test(url)) return 'node: sockets, buffers'
  return 'node: other'
}
