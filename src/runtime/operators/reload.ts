// A reload on demand: policies, secrets and certificates are read again, and record files are opened again.

import type { ReloadAnswer } from '../../admin/app.ts'
import type { AdminApp } from '../../admin/listener.ts'
import type { ReloadResult } from '../live-policies.ts'
import type { ShadowReload } from '../policies/shadow-policies.ts'
import { changedFileNote } from './notes.ts'
import type { OperatorsParts } from './parts.ts'

export function createReload(parts: OperatorsParts) {
  const { core, app, certificates, copies } = parts
  const { changedFiles, checkpoints, config, log, policies, shadow, sinks } = core
  let ofChangedFiles: readonly string[] = []

  /** `kept`: why the certificate before stays in use; empty when it does not, or there is none. */
  async function renew(
    actor: string,
    admin: AdminApp,
  ): Promise<{ result: ReloadResult; kept: readonly string[]; ofShadow: ShadowReload | null }> {
    sinks.reopen()
    checkpoints?.renewKey?.()
    ofChangedFiles = (await changedFiles()).map(changedFileNote)
    for (const note of ofChangedFiles) log.warn({ event: 'config-changed', actor }, note)
    const kept = await certificates.renew(app, admin)
    const [result, ofShadow] = await Promise.all([policies.reload(actor), shadow?.set.reload(actor) ?? null])
    // A key may be watched from now on.
    copies.look()
    return { result, kept, ofShadow }
  }

  return {
    /** Files that are read at the start only and have changed since, as the latest reload found them: sentences. */
    changedFiles: (): readonly string[] => ofChangedFiles,
    renew,
    /** What an operator is answered. */
    async answer(actor: string, admin: AdminApp): Promise<ReloadAnswer> {
      const { result, kept, ofShadow } = await renew(actor, admin)
      const isDone = result === 'replaced' || result === 'unchanged'
      return {
        result,
        ...(config.listen.tls === null && config.listen.adminTls === null
          ? {}
          : { certificate: kept.length === 0 ? 'read' : 'kept' }),
        ...(shadow === null || ofShadow === null
          ? {}
          : { shadow: { result: ofShadow, diagnostics: shadow.set.refusal?.diagnostics ?? [] } }),
        diagnostics: [...(isDone ? [] : (policies.refusal?.diagnostics ?? [])), ...kept, ...ofChangedFiles],
      }
    },
  }
}
