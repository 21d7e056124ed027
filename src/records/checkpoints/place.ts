// A place outside that takes checkpoints: how it is configured, and what it does.

/** Where checkpoints go, as it is configured. */
export type CheckpointTarget =
  | { readonly kind: 'file'; readonly file: string }
  | { readonly kind: 'stdout' }
  | { readonly kind: 'http'; readonly url: string }
  | { readonly kind: 'syslog'; readonly protocol: 'udp' | 'tcp' | 'tls'; readonly host: string; readonly port: number }
  | { readonly kind: 'syslog'; readonly protocol: 'unix'; readonly path: string }

export interface CheckpointPlace {
  /** As the operator knows it; never with a password. */
  readonly name: string
  /** Resolves when the place has the line, as far as it says so. Rejects with a reason in words. */
  send(line: string, signal: AbortSignal): Promise<void>
}
