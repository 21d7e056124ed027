// Real stores for tests: valkey-server (or redis-server) on a free port, to be killed, stopped, filled up and restarted.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'vitest'
import type { StoreSettings } from '../../src/store/connection.ts'
import { freePort } from './free-ports.ts'

const binary = ['valkey-server', 'redis-server'].find(isInstalled) ?? null

/** `describe` where a server is installed. Where it must be (`GATEWAY_TEST_VALKEY=required`), its absence is a failure. */
export const describeWithValkey: typeof describe | typeof describe.skip = decide()

function decide(): typeof describe | typeof describe.skip {
  if (binary !== null) return describe
  if (process.env['GATEWAY_TEST_VALKEY'] === 'required')
    throw new Error('neither valkey-server nor redis-server is installed')
  process.stderr.write(
    'skipped: tests of the shared store need valkey-server or redis-server, and neither is installed\n',
  )
  return describe.skip
}

function isInstalled(name: string): boolean {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

export interface StoreServer {
  readonly port: number
  readonly address: string
  /** Sends a command and returns the answer as the wire has it. Waits for a server that comes up. */
  command(...words: readonly string[]): Promise<string>
  /** Everything it does from now on, one line each, with its own time in seconds at the beginning. */
  watch(): Promise<{ readonly lines: () => readonly string[]; close(): void }>
  /** Ends it at once, as a crash does. What it held is gone. */
  kill(): Promise<void>
  /** Starts it again on the same port, empty. */
  restart(): Promise<void>
  /** The process stops where it is; its connections stay open. */
  freeze(): void
  thaw(): void
  close(): Promise<void>
}

export interface StoreServerOptions {
  /** Further arguments. */
  readonly settings?: readonly string[]
  readonly sentinel?: boolean
  /** Commands cannot be sent in the clear: only the connection is waited for. */
  readonly secure?: boolean
}

export async function startStoreServer(options: StoreServerOptions = {}): Promise<StoreServer> {
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'gateway-store-'))
  let child: ChildProcess

  async function start(): Promise<void> {
    const { settings = [], sentinel = false, secure = false } = options
    const plain = secure ? [] : ['--port', String(port)]
    const keeps = sentinel ? [] : ['--save', '', '--appendonly', 'no']
    child = spawn(
      binary ?? '',
      [
        ...(sentinel ? [join(directory, 'sentinel.conf'), '--sentinel'] : []),
        ...plain,
        '--bind',
        '127.0.0.1',
        '--dir',
        directory,
        ...keeps,
        ...settings.map((word) => word.replaceAll('PORT', String(port)).replaceAll('DIRECTORY', directory)),
      ],
      { stdio: 'ignore' },
    )
    for (;;) {
      if (child.exitCode !== null) throw new Error(`the store ended with ${child.exitCode}`)
      const answered = secure ? await opens(port) : (await ask(port, ['PING'])) !== null
      if (answered) return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async function kill(): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  if (options.sentinel === true) await writeFile(join(directory, 'sentinel.conf'), '')
  await start()
  return {
    port,
    address: `valkey://127.0.0.1:${port}`,
    async command(...words) {
      for (;;) {
        const answer = await ask(port, words)
        if (answer !== null) return answer
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    },
    async watch() {
      const socket = connect(port, '127.0.0.1')
      let text = ''
      socket.setEncoding('latin1')
      socket.on('error', () => {})
      socket.on('data', (chunk: string) => (text += chunk))
      socket.write('MONITOR\r\n')
      await once(socket, 'data')
      return { lines: () => text.split('\r\n').map((line) => line.slice(1)), close: () => socket.destroy() }
    },
    kill,
    restart: start,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    async close() {
      child.kill('SIGCONT')
      await kill()
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** Settings of a connection to a server; the deadline is one that a busy machine meets. */
export function storeSettings(server: StoreServer, more: Partial<StoreSettings> = {}): StoreSettings {
  return {
    kind: 'single',
    nodes: [{ host: '127.0.0.1', port: server.port }],
    tls: null,
    sentinel: null,
    user: null,
    password: null,
    database: 0,
    prefix: 'test',
    timeoutMs: 500,
    ...more,
  }
}

export interface StoreCluster {
  readonly nodes: readonly StoreServer[]
  /** Waits until every node finds the cluster whole. */
  whole(): Promise<void>
  close(): Promise<void>
}

/** Three nodes, each with a third of the slots. */
export async function startCluster(): Promise<StoreCluster> {
  const settings = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '1000']
  const nodes = await Promise.all([0, 1, 2].map(() => startStoreServer({ settings })))
  const [first] = nodes
  for (const [index, node] of nodes.entries()) {
    const bounds = [0, 5461, 10_923, 16_384]
    await node.command('CLUSTER', 'ADDSLOTSRANGE', String(bounds[index]), String((bounds[index + 1] ?? 0) - 1))
    await node.command('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1))
    if (node !== first) await node.command('CLUSTER', 'MEET', '127.0.0.1', String(first?.port))
  }
  const whole = async (): Promise<void> => {
    for (const node of nodes)
      while (!(await node.command('CLUSTER', 'INFO')).includes('cluster_state:ok'))
        await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await whole()
  return {
    nodes,
    whole,
    async close() {
      await Promise.all(nodes.map((node) => node.close()))
    },
  }
}

/** Null when nobody answers. */
function ask(port: number, words: readonly string[]): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.setTimeout(2000, () => socket.destroy())
    socket.on('error', () => {})
    socket.on('close', () => resolve(null))
    socket.on('connect', () => {
      const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
      socket.write(`*${words.length}\r\n${parts.join('')}`)
    })
    socket.once('data', (answer) => {
      resolve(answer.toString().startsWith('-LOADING') ? null : answer.toString())
      socket.destroy()
    })
  })
}

function opens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      resolve(true)
      socket.destroy()
    })
    socket.once('error', () => resolve(false))
  })
}
