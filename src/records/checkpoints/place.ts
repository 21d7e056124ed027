// A place outside that takes checkpoints.

export interface CheckpointPlace {
  /** As the operator knows it; never with a password. */
  readonly name: string
  /** Resolves when the place has the line, as far as it says so. Rejects with a reason in words. */
  send(line: string, signal: AbortSignal): Promise<void>
}
