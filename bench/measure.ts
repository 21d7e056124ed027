// One run: load on one peer, its CPU time and memory, and how much the rest of the machine disturbed it.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Accounting } from './accounting.ts'
import type { Load, LoadOrder, LoadResult } from './load.ts'
import type { RunningProcess } from './processes.ts'

export interface Sample extends LoadResult {
  readonly cpuMsPer1000: number | null
  /** CPU time of the peer's process tree, in percent of one core: below 100 the load was the limit. */
  readonly corePercent: number | null
  readonly rssBytes: number | null
  /** CPU time of everything that is not part of the bench, in percent of one core. */
  readonly foreignPercent: number | null
  /** Still above the limit after the run was repeated. */
  readonly noisy: boolean
}

export interface Laboratory {
  readonly accounting: Accounting | null
  readonly load: Load
  /** What else belongs to the bench and works meanwhile: the upstream. */
  readonly company: readonly RunningProcess[]
  readonly noisePercent: number
  readonly quietSeconds: number
  /** Called when a run has to be repeated. */
  readonly onRepeat: (foreignPercent: number) => void
}

const mostRepeats = 2

/** Runs once, and again while other processes used too much of the machine. `peer` is null for the upstream alone. */
export async function measure(lab: Laboratory, order: LoadOrder, peer: RunningProcess | null): Promise<Sample> {
  for (let repeats = 0; ; repeats += 1) {
    await untilQuiet(lab.accounting, lab.quietSeconds)
    const sample = await runOnce(lab, order, peer)
    const noisy = sample.foreignPercent !== null && sample.foreignPercent > lab.noisePercent
    if (!noisy || repeats === mostRepeats) return { ...sample, noisy }
    lab.onRepeat(sample.foreignPercent ?? 0)
  }
}

async function runOnce(lab: Laboratory, order: LoadOrder, peer: RunningProcess | null): Promise<Omit<Sample, 'noisy'>> {
  const observed = observe(lab, peer)
  const result = await lab.load.run(order)
  const { peerMs, foreignPercent } = observed(peer)
  const seconds = order.seconds + order.warmSeconds
  return {
    ...result,
    cpuMsPer1000: peerMs === null ? null : peerMs / (result.requests / 1000),
    corePercent: peerMs === null ? null : (100 * peerMs) / (seconds * 1000),
    rssBytes: peer === null ? null : (lab.accounting?.treeRssBytes(peer.pid) ?? null),
    foreignPercent,
  }
}

export interface Observed {
  /** CPU time of the peer's process tree meanwhile; null without a peer or without an accounting. */
  readonly peerMs: number | null
  /** CPU time of everything that is not part of the bench, in percent of one core. */
  readonly foreignPercent: number | null
}

/** Begins to observe; the function that it gives ends it. A peer that is started meanwhile is named at the end only. */
export function observe(
  { accounting, company }: Laboratory,
  peer: RunningProcess | null,
): (peer: RunningProcess | null) => Observed {
  if (accounting === null) return () => ({ peerMs: null, foreignPercent: null })
  const cpuMs = (running: RunningProcess | null): number => (running === null ? 0 : accounting.treeCpuMs(running.pid))
  const oursMs = (): number => company.reduce((total, each) => total + cpuMs(each), accounting.ownCpuMs())
  const before = { atMs: performance.now(), machine: accounting.machineCpuMs(), peer: cpuMs(peer), ours: oursMs() }
  return (measured) => {
    const peerMs = cpuMs(measured) - before.peer
    const foreignMs = accounting.machineCpuMs() - before.machine - peerMs - (oursMs() - before.ours)
    return {
      peerMs: measured === null ? null : peerMs,
      foreignPercent: Math.max(0, (100 * foreignMs) / (performance.now() - before.atMs)),
    }
  }
}

/** Waits, for a bounded time, until the machine does next to nothing. */
export async function untilQuiet(accounting: Accounting | null, seconds: number): Promise<void> {
  if (accounting === null) return
  const deadline = performance.now() + seconds * 1000
  while (performance.now() < deadline) {
    const before = accounting.machineCpuMs()
    await sleep(400)
    if (accounting.machineCpuMs() - before <= 40) return
  }
}
