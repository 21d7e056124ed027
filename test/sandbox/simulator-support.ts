// A simulator on a real socket and a client for it, for the tests of the simulator.

import { createSimulator, type Simulator, type SimulatorOptions } from '../../src/sandbox/simulator/server.ts'
import { createSandboxWorld } from '../../src/sandbox/world/world.ts'
import type { World } from '../../src/sandbox/world/types.ts'

/** The key value of a sandbox service user in these tests. */
export function keyOf(serviceUser: string): string {
  return `cog_test_${serviceUser}`
}

/** The sandbox company with a key for everybody. */
export function testWorld(): World {
  return createSandboxWorld(keyOf)
}

export interface Asked {
  readonly status: number
  readonly headers: Headers
  /** The parsed body, or its text where it is no JSON. */
  // Tests reach into answers of every shape; a wrong reach fails the test.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any
}

export interface AskOptions {
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface Bench extends Simulator {
  /** Sends a request with the key of a service user (null: without). The target is `METHOD /path`. */
  ask(serviceUser: string | null, target: string, options?: AskOptions): Promise<Asked>
  /** Moves the clock on. */
  pass(seconds: number): void
}

/** Starts a simulator whose clock stands still until a test moves it. */
export async function startBench(options: Partial<SimulatorOptions> = {}): Promise<Bench> {
  let nowMs = Date.UTC(2026, 9, 5, 12)
  const simulator = await createSimulator({ world: testWorld(), now: () => nowMs, ...options })
  return {
    ...simulator,
    ask: (serviceUser, target, asked = {}) =>
      ask(simulator.origin, serviceUser === null ? null : keyOf(serviceUser), target, asked),
    pass(seconds) {
      nowMs += seconds * 1000
    },
  }
}

/** One request with a key value, redirects not followed. */
export async function ask(
  origin: string,
  key: string | null,
  target: string,
  { body, headers = {} }: AskOptions = {},
): Promise<Asked> {
  const [method = '', path = ''] = target.split(' ', 2)
  const json = body !== undefined && !(body instanceof FormData)
  const response = await fetch(origin + path, {
    method,
    redirect: 'manual',
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(json ? { 'content-type': 'application/json' } : {}),
      ...headers,
    },
    body: body instanceof FormData ? body : json ? JSON.stringify(body) : null,
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: parsed(text) }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** A form with the one part that uploads have. */
export function upload(contents: string, name = 'notes.txt'): FormData {
  const form = new FormData()
  form.append('file', new Blob([contents], { type: 'text/plain' }), name)
  return form
}
