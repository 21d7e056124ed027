// Why the gateway cannot listen where it should.

import { errorCode } from '../config/values/file-errors.ts'

const whyNotBound: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process uses the port; stop it or choose another one',
  EACCES: 'this user may not use the port',
  EADDRNOTAVAIL: 'no network interface of this machine has the address; 0.0.0.0 stands for all of them',
  ENOTFOUND: 'no machine has this name; write an address of this one, or 0.0.0.0 for all of them',
  EAI_AGAIN: 'the name cannot be looked up now; write an address of this machine, or 0.0.0.0 for all of them',
  EAFNOSUPPORT: 'this machine has no IPv6; write an IPv4 address, or 0.0.0.0 for all of them',
}

/** Why an address cannot be bound, as a sentence. */
export function listenProblem(name: string, host: string, port: number, error: unknown): string {
  const code = errorCode(error) ?? 'an unknown error'
  const why = whyNotBound[code] ?? `it failed with ${code}`
  return `listen.${name}: cannot listen on ${host}:${port}: ${why}`
}
