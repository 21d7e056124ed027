// Servers that get something from the gateway and are not asked for anything: the collector of traces, the places of checkpoints.

import type { Config } from '../../config/load.ts'
import type { Examination } from '../examination.ts'
import { addPeerFindings } from '../network/peer.ts'
import { probe, probeTargetOf, type ProbeTarget } from '../network/probe.ts'

/** They are connected to, and sent nothing. */
export function otherExaminations({
  telemetry,
  checkpoints,
}: Pick<Config, 'telemetry' | 'checkpoints'>): readonly Examination[] {
  const all: Examination[] = []
  if (telemetry !== null) {
    const words = { name: 'The collector of traces', setting: 'telemetry.otlp', caSetting: null }
    all.push(peerExamination('collector', telemetry.url, probeTargetOf(new URL(telemetry.url), null), words))
  }
  for (const [index, target] of (checkpoints?.targets ?? []).entries()) {
    const setting = `checkpoints.to[${index}]`
    const words = { name: 'The place of checkpoints', setting, caSetting: null }
    if (target.kind === 'http')
      all.push(peerExamination('checkpoints', target.url, probeTargetOf(new URL(target.url), null), words))
    // A datagram is answered by nobody.
    if (target.kind === 'syslog' && 'host' in target && target.protocol !== 'udp') {
      const { host, port, protocol } = target
      const peer = { host, port, tls: protocol === 'tls' ? { ca: null } : null }
      all.push(peerExamination('checkpoints', `${host}:${port}`, peer, words))
    }
  }
  return all
}

function peerExamination(
  area: 'collector' | 'checkpoints',
  about: string,
  target: ProbeTarget,
  words: Parameters<typeof addPeerFindings>[2],
): Examination {
  return {
    area,
    about,
    examine: async (found, signal) => void addPeerFindings(found, target, words, await probe(target, null, signal)),
  }
}
