// The yardstick, a process of its own: @fastify/http-proxy as it comes, no checks, no records.
// node bench/bare-proxy.ts PORT UPSTREAM_PORT

import httpProxy from '@fastify/http-proxy'
import fastify from 'fastify'

const [port, upstreamPort] = process.argv.slice(2)
const app = fastify({ logger: false })
await app.register(httpProxy, { upstream: `http://127.0.0.1:${upstreamPort}` })
await app.listen({ host: '127.0.0.1', port: Number(port) })
