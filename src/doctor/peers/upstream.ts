// The Devin API: reached, trusted, and at this address.

import type { Config } from '../../config/load.ts'
import type { Examination } from '../examination.ts'
import type { Findings } from '../finding.ts'
import { aheadOf, type ClockReading } from '../network/clocks.ts'
import { addPeerFindings } from '../network/peer.ts'
import { probe, probeTargetOf, type ProbeAnswer } from '../network/probe.ts'

const toleratedMs = 30_000

/** Asks without a key: who the keys are is asked apart. */
export function upstreamExamination(
  { upstream: { origin, pathPrefix, ca } }: Pick<Config, 'upstream'>,
  onClock: (reading: ClockReading) => void,
): Examination {
  return {
    area: 'upstream',
    about: origin + pathPrefix,
    async examine(found, signal) {
      const target = probeTargetOf(new URL(origin), ca)
      const probed = await probe(target, { path: `${pathPrefix}/v3/self` }, signal)
      const { answer, fault } = probed
      const aheadMs = answer === null ? null : aheadOf(answer)
      if (aheadMs !== null)
        onClock({
          name: 'the Devin API',
          aheadMs,
          toleratedMs,
          harm: 'The ends of keys and of budget windows are judged by the clock here.',
        })
      const words = { name: 'The Devin API', setting: 'upstream.origin', caSetting: 'upstream.ca' }
      if (!addPeerFindings(found, target, words, probed)) return
      if (answer !== null) judgeAnswer(found, answer)
      else
        found.error(
          'answer',
          `The Devin API: ${target.host}:${target.port} takes connections and does not answer a request${fault === null || fault.code === 'LATE' ? '' : ` (${fault.code})`}.`,
          'Find out whether a proxy in between holds requests up, and whether Devin has an incident.',
        )
    },
  }
}

function judgeAnswer(found: Findings, { status, headers, body }: ProbeAnswer): void {
  const type = String(headers['content-type'] ?? '')
  const isPage = type.includes('html') || /^\s*<(?:!doctype|html)/i.test(body)
  if (status >= 300 && status < 400)
    found.error(
      'answer',
      `What answers at upstream.origin leads elsewhere (${status} to ${String(headers['location'] ?? 'an unknown address')}), and redirects are not followed.`,
      'Write the address of the API itself in upstream.origin: https://api.devin.ai, or the API domain of your company.',
    )
  else if (isPage)
    found.error(
      'answer',
      `What answers at upstream.origin is a web page (${status}), and not the Devin API.`,
      'Write the address of the API in upstream.origin, and look for a proxy in between that answers itself.',
    )
  else if (status === 401 || status === 403) found.ok('answer', `the API answers (${status} without a key)`)
  else if (status === 404)
    found.error(
      'answer',
      'What answers at upstream.origin has no /v3/self (404).',
      'Check the host and the path prefix in upstream.origin: /v3 comes after it by itself.',
    )
  else if (status >= 500)
    found.error(
      'answer',
      `The Devin API answers with ${status}.`,
      'Look at the status page of Devin, and at what stands between.',
    )
  else
    found.warning(
      'answer',
      `What answers at upstream.origin says ${status} to GET /v3/self without a key, where the Devin API says 401.`,
      'Check that upstream.origin is the Devin API, and nothing that adds a key by itself.',
    )
}
