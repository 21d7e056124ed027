// CPU time and memory of processes, read from /proc; nothing of it exists elsewhere than on Linux.

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

export interface Accounting {
  /** CPU time so far of a process and everything below it, user and kernel, milliseconds. */
  treeCpuMs(pid: number): number
  /** Resident memory of a process and everything below it. */
  treeRssBytes(pid: number): number
  /** CPU time so far of the whole machine, all that is not idle. */
  machineCpuMs(): number
  /** CPU time so far of this process, and of its children that have ended. */
  ownCpuMs(): number
}

/** The accounting of this system; null where there is no /proc. */
export function openAccounting(): Accounting | null {
  try {
    readFileSync('/proc/self/stat')
  } catch {
    return null
  }
  const perSecond = Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout) || 100
  const toMs = (ticks: number): number => (ticks * 1000) / perSecond
  return {
    treeCpuMs: (pid) => toMs(sum(treeOf(pid).map((member) => member.ticks))),
    treeRssBytes: (pid) => sum(treeOf(pid).map((member) => residentBytes(member.pid))),
    machineCpuMs: () => toMs(busyTicks()),
    ownCpuMs() {
      const own = statOf(process.pid)
      return own === null ? 0 : toMs(own.ticks + own.childTicks)
    },
  }
}

interface ProcessStat {
  readonly pid: number
  readonly parent: number
  readonly ticks: number
  readonly childTicks: number
}

/** The fields of /proc/PID/stat that matter (proc_pid_stat(5)); null when the process is gone. */
function statOf(pid: number): ProcessStat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field is a name in parentheses that may hold anything; the third one comes after the last of them.
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number)
    const at = (field: number): number => fields[field - 3] ?? 0
    return { pid, parent: at(4), ticks: at(14) + at(15), childTicks: at(16) + at(17) }
  } catch {
    return null
  }
}

function treeOf(root: number): readonly ProcessStat[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => statOf(Number(name)) ?? [])
  const members = all.filter(({ pid }) => pid === root)
  for (const member of members) members.push(...all.filter(({ parent }) => parent === member.pid))
  return members
}

function residentBytes(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** All but idle and waiting time; guest time is part of user time already. */
function busyTicks(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] =
    readFileSync('/proc/stat', 'latin1').split('\n', 1)[0]?.split(/\s+/).map(Number) ?? []
  return user + nice + system + irq + softirq + steal
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
