// The two servers that are always there: the gateway, and bare @fastify/http-proxy.

import { get } from 'node:http'
import { fileURLToPath } from 'node:url'
import { accepts } from '../processes.ts'
import type { Command, Peer, Server } from './peer.ts'

const gatewayProgram = fileURLToPath(new URL('../../bin/devin-gateway.mjs', import.meta.url))
const bareCommand = fileURLToPath(new URL('bare-proxy.ts', import.meta.url))

/** As the image and the systemd unit start it, in flags and environment. */
const productionFlags = ['--max-semi-space-size=8', '--v8-pool-size=1']
const productionEnvironment = { MALLOC_ARENA_MAX: '2' }

export const gateway: Server = {
  title: 'devin-gateway, everything on',
  guards: true,
  installed: () => 'this checkout',
  port: ({ ports }) => ports.gateway,
  prepare: ({ installation }, nodeFlags) => gatewayCommand(gatewayProgram, installation.configFile, nodeFlags),
  isReady: ({ ports }) => answersOk(ports.admin, '/readyz'),
}

export const barePeer: Peer = {
  id: 'bare',
  title: 'bare @fastify/http-proxy, no checks',
  guards: false,
  installed: () => '@fastify/http-proxy',
  port: ({ ports }) => ports.bare,
  prepare: ({ ports }, nodeFlags) => node([...nodeFlags, bareCommand, String(ports.bare), String(ports.upstream)]),
  isReady: ({ ports }) => accepts(ports.bare),
}

/** Flags that are given come last, so they may change those of production. */
export function gatewayCommand(program: string, configFile: string, nodeFlags: readonly string[]): Command {
  return {
    ...node([...productionFlags, ...nodeFlags, program, 'start', '--config', configFile]),
    env: productionEnvironment,
  }
}

function node(args: readonly string[]) {
  return { file: process.execPath, args }
}

export function answersOk(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    request.once('error', () => resolve(false))
  })
}
