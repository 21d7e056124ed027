// View types hold no secret: the compiler refuses one anywhere in them.

import { expectTypeOf, test } from 'vitest'
import type { AllowingView, MatrixView } from '../../src/admin/console/analysis-view.ts'
import type { DecisionDetailView, DecisionsView } from '../../src/admin/console/decision-view.ts'
import type { KeyReportView } from '../../src/admin/console/key-report-view.ts'
import type { NowView, SeriesView } from '../../src/admin/console/now-view.ts'
import type { AuditView, PolicyStateView } from '../../src/admin/console/policy-view.ts'
import type { CacheStateView } from '../../src/admin/console/state-views.ts'
import type { TeamDetailView, TeamsView } from '../../src/admin/console/team-view.ts'
import type { BlockView } from '../../src/admin/blocks-api.ts'
import type { KeyView } from '../../src/admin/views.ts'
import type { Secret } from '../../src/keys/secret.ts'

/** Members of a type, at any depth, that would take a secret. */
type TakesSecret<T> = T extends string | number | boolean | null | undefined
  ? false
  : Secret extends T
    ? true
    : T extends readonly (infer Item)[]
      ? TakesSecret<Item>
      : { [Name in keyof T]: TakesSecret<T[Name]> }[keyof T]

test('no view takes a secret', () => {
  expectTypeOf<true extends TakesSecret<NowView> ? true : false>().toEqualTypeOf<false>()
  expectTypeOf<true extends TakesSecret<SeriesView> ? true : false>().toEqualTypeOf<false>()
  expectTypeOf<true extends TakesSecret<DecisionsView> ? true : false>().toEqualTypeOf<false>()
  expectTypeOf<true extends TakesSecret<DecisionDetailView> ? true : false>().toEqualTypeOf<false>()
  expectTypeOf<true extends TakesSecret<AllowingView> ? true : false>().toEqualTypeOf<false>()
  expectTypeOf<true extends TakesSecret<MatrixView> ? true : false>().toEqualTypeOf<false>()
  expectTypeOf<true extends TakesSecret<TeamsView> ? true : false>().toEqualTypeOf<false>()
  expectTypeOf<true extends TakesSecret<TeamDetailView> ? true : false>().toEqualTypeOf<false>()
  expectTypeOf<true extends TakesSecret<PolicyStateView> ? true : false>().toEqualTypeOf<false>()
  expectTypeOf<true extends TakesSecret<CacheStateView> ? true : false>().toEqualTypeOf<false>()
  expectTypeOf<true extends TakesSecret<KeyView> ? true : false>().toEqualTypeOf<false>()
  expectTypeOf<true extends TakesSecret<KeyReportView> ? true : false>().toEqualTypeOf<false>()
  expectTypeOf<true extends TakesSecret<BlockView> ? true : false>().toEqualTypeOf<false>()
  // Details of audit entries are masked JSON, as in the file; the rest of the view is listed.
  expectTypeOf<
    true extends TakesSecret<AuditView['head'] | AuditView['anchors']> ? true : false
  >().toEqualTypeOf<false>()
  // The check itself finds one.
  expectTypeOf<
    true extends TakesSecret<{ readonly rows: readonly { readonly key: Secret }[] }> ? true : false
  >().toEqualTypeOf<true>()
})
