// How commands reach the operators' listener of the gateway that runs this configuration.

import { userInfo } from 'node:os'

/** Address of the listener; one on all addresses is reached over loopback. */
export function adminAddress({ host, port }: { readonly host: string; readonly port: number }): string {
  const reached = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`
}

/** The account of the operating system; a statement, not a proof. */
export function whoAsks(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run under a number without a name.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}

/** That nobody answers at the operators' listener, and what to do. */
export function unreachable(address: string): Error {
  return new Error(
    `the running gateway could not be asked at ${address}: start it, or name the configuration that it runs with --config`,
  )
}
