// The route of the API is the one that @fastify/http-proxy registers, with the library's own handler.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import httpProxy from '@fastify/http-proxy'
import fastify, { type RouteOptions } from 'fastify'
import { expect, test } from 'vitest'
import { startTestGateway } from '../support/start-gateway.ts'

test('requests to the API go through the handler of http-proxy', async () => {
  const plain = fastify()
  const routes: RouteOptions[] = []
  const note = (message: unknown): void => {
    const { fastify: app } = message as { fastify: typeof plain }
    app.addHook('onRoute', (route) => void routes.push(route))
  }
  const library: RouteOptions[] = []
  plain.addHook('onRoute', (route) => void library.push(route))
  await plain.register(httpProxy, { upstream: 'http://127.0.0.1:1' })
  await plain.ready()
  subscribe('fastify.initialization', note)
  const running = await startTestGateway()
  unsubscribe('fastify.initialization', note)
  const proxied = routes.filter(({ url, method }) => url === '/' && Array.isArray(method) && method.includes('PATCH'))
  expect(proxied.map(({ handler }) => String(handler))).toEqual(
    library.filter(({ url }) => url === '/').map(({ handler }) => String(handler)),
  )
  expect((await running.call('/v3/organizations/org-payments/sessions')).status).toBe(200)
  await running.close()
  await plain.close()
})
