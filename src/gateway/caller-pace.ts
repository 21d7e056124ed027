// How fast a caller has to send its body and to take its answer.

/** Bytes a second, once it has had time to begin. */
export const leastRate = 8 * 1024

/** Whether so many bytes in so long are fewer than the least rate. */
export function isTooSlow(bytes: number, elapsedMs: number): boolean {
  return bytes < (leastRate * elapsedMs) / 1000
}
