// The attacker as a process of its own, so that its work does not delay the clock of who measures.
// node bench/drills/attacker.ts, with the orders as JSON in DRILL_ATTACK

import { attackFor, type AttackName, type Target } from './attacks.ts'

// Written by run.ts.
const { name, target, ms } = JSON.parse(process.env['DRILL_ATTACK'] ?? '') as {
  readonly name: AttackName
  readonly target: Target
  readonly ms: number
}
await attackFor(name, target, ms)
process.exit(0)
