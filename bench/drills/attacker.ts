// The attacker as a process of its own. It shares a core with those who measure, and a real attacker does not: so it gets only
// the time that they leave, and its work does not delay their clock.
// node bench/drills/attacker.ts, with the orders as JSON in DRILL_ATTACK

import { setPriority } from 'node:os'
import { attackFor, type AttackName, type Target } from './attacks.ts'

setPriority(19)
// Written by run.ts.
const { name, target, ms } = JSON.parse(process.env['DRILL_ATTACK'] ?? '') as {
  readonly name: AttackName
  readonly target: Target
  readonly ms: number
}
await attackFor(name, target, ms)
process.exit(0)
