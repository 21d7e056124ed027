// The Kubernetes overlays, built by kustomize as `kubectl apply -k` does: their objects keep the schemas of the Kubernetes API
// and of the Prometheus operator, fit each other, and carry a configuration that `check` passes.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap'
import { Namespace } from 'kubernetes-models/v1/Namespace'
import { PersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim'
import { Secret } from 'kubernetes-models/v1/Secret'
import { Service } from 'kubernetes-models/v1/Service'
import { PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule'
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor'
import { parse, parseAllDocuments } from 'yaml'
import { callCommand } from '../support/command.ts'

const folder = join(import.meta.dirname, '../../deploy/kubernetes')
const isBuilt = spawnSync('kubectl', ['version', '--client']).status === 0
if (!isBuilt && process.env['GATEWAY_TEST_KUBECTL'] === 'required') throw new Error('kubectl is not installed')
if (!isBuilt) process.stderr.write('the Kubernetes overlays are not tested: kubectl is not installed\n')

interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
}
type Model = new (data: never) => { validate(): void }
const models: Readonly<Record<string, Model>> = {
  'v1 ConfigMap': ConfigMap,
  'v1 Namespace': Namespace,
  'v1 PersistentVolumeClaim': PersistentVolumeClaim,
  'v1 Secret': Secret,
  'v1 Service': Service,
  'apps/v1 Deployment': Deployment,
  'autoscaling/v2 HorizontalPodAutoscaler': HorizontalPodAutoscaler,
  'monitoring.coreos.com/v1 PrometheusRule': PrometheusRule,
  'monitoring.coreos.com/v1 ServiceMonitor': ServiceMonitor,
  'networking.k8s.io/v1 NetworkPolicy': NetworkPolicy,
  'policy/v1 PodDisruptionBudget': PodDisruptionBudget,
}

/** Throws where the object breaks the schema of its kind. */
function validate(manifest: Manifest): void {
  const model = models[`${manifest.apiVersion} ${manifest.kind}`]
  if (model === undefined) throw new Error(`no schema for ${manifest.apiVersion} ${manifest.kind}`)
  new model(manifest as never).validate()
}

const root = join(import.meta.dirname, '../..')

/**
 * What the compiler says of the objects as literals of their types. The schemas let members pass that they do not know; the
 * types, made from the same specifications, do not.
 */
function misspelled(manifests: readonly Manifest[]): string {
  const cache = join(root, 'node_modules/.cache')
  mkdirSync(cache, { recursive: true })
  const directory = mkdtempSync(join(cache, 'manifests-'))
  temporary.push(directory)
  const source = manifests.map((manifest, index) => {
    const group = manifest.apiVersion.startsWith('monitoring.')
      ? '@kubernetes-models/prometheus-operator'
      : 'kubernetes-models'
    const module = `${group}/${manifest.apiVersion}/${manifest.kind}`
    return `export const object${index}: import('${module}').I${manifest.kind} = ${JSON.stringify(manifest, null, 1)}`
  })
  writeFileSync(join(directory, 'manifests.ts'), source.join('\n'))
  const flags = ['--noEmit', '--ignoreConfig', '--strict', '--skipLibCheck', '--module', 'nodenext', '--types', '']
  const { stdout } = spawnSync(join(root, 'node_modules/.bin/tsc'), [...flags, 'manifests.ts'], {
    cwd: directory,
    encoding: 'utf8',
  })
  return stdout
}

/** A member deep inside, by its path. */
function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (inner, name) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, name) : undefined),
    value,
  )
}

const temporary: string[] = []
afterAll(() => temporary.forEach((each) => rmSync(each, { recursive: true, force: true })))

test('a misspelled member of an object is found', () => {
  const spec = { minAvailable: 1, selecter: {} }
  const metadata = { name: 'devin-gateway' }
  expect(misspelled([{ apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata, spec } as Manifest])).toMatch(
    /"selecter"' does not exist/,
  )
})

describe.skipIf(!isBuilt).each(['single', 'highly-available', 'monitoring'])('the overlay %s', (name) => {
  const text = isBuilt
    ? execFileSync('kubectl', ['kustomize', join(folder, 'overlays', name)], { encoding: 'utf8' })
    : ''
  const manifests = parseAllDocuments(text).map((document) => document.toJS() as Manifest)
  const of = (kind: string): Manifest[] => manifests.filter((each) => each.kind === kind)
  const named = (kind: string, wanted: string): Manifest => {
    const found = of(kind).find(({ metadata }) => metadata.name === wanted)
    if (found === undefined) throw new Error(`the overlay has no ${kind} ${wanted}`)
    return found
  }
  const pod = (): unknown => at(named('Deployment', 'devin-gateway'), 'spec', 'template', 'spec')

  test('keeps the schemas', () => {
    expect(manifests.length).toBeGreaterThan(5)
    for (const manifest of manifests) validate(manifest)
    expect(misspelled(manifests)).toBe('')
  })

  test('has what keeps it up and apart', () => {
    const isAvailable = name !== 'single'
    const isWatched = name === 'monitoring'
    const counts = {
      Deployment: isAvailable ? 2 : 1,
      HorizontalPodAutoscaler: isAvailable ? 1 : 0,
      PodDisruptionBudget: isAvailable ? 1 : 0,
      NetworkPolicy: isAvailable ? 2 : 1,
      ServiceMonitor: isWatched ? 1 : 0,
      PrometheusRule: isWatched ? 1 : 0,
    }
    expect(Object.fromEntries(Object.keys(counts).map((kind) => [kind, of(kind).length]))).toEqual(counts)
    const [spread] = at(pod(), 'topologySpreadConstraints') as unknown[]
    const labels = at(named('Deployment', 'devin-gateway'), 'spec', 'template', 'metadata', 'labels')
    expect(labels).toMatchObject(at(spread, 'labelSelector', 'matchLabels') as object)
    // An eviction leaves a pod, and the budget lets one go.
    for (const scaler of of('HorizontalPodAutoscaler'))
      expect(at(scaler, 'spec', 'minReplicas')).toBeGreaterThan(
        at(named('PodDisruptionBudget', 'devin-gateway'), 'spec', 'minAvailable') as number,
      )
    // Callers come to their port, monitoring to its own, and nobody to the operators'. Out go DNS, https, the store, and traces.
    const policy = named('NetworkPolicy', 'devin-gateway')
    const portsOf = (side: 'ingress' | 'egress'): unknown[] =>
      (at(policy, 'spec', side) as unknown[]).flatMap((rule) =>
        (at(rule, 'ports') as unknown[]).map((each) => at(each, 'port')),
      )
    expect(portsOf('ingress')).toEqual([8080, 9091])
    expect(portsOf('egress')).toEqual([53, 53, 443, 6379, 4318])
  })

  test('lies in one namespace, and holds no secret', () => {
    for (const { kind, metadata } of manifests)
      if (kind !== 'Namespace') expect(metadata.namespace, `${kind} ${metadata.name}`).toBe('devin-gateway')
    expect(of('Secret')).toEqual([])
    expect(text).not.toContain('cog_')
  })

  test('runs every pod read-only, without rights, and with bounded memory', () => {
    for (const deployment of of('Deployment')) {
      const spec = at(deployment, 'spec', 'template', 'spec')
      expect(at(spec, 'automountServiceAccountToken')).toBe(false)
      expect(at(spec, 'securityContext')).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      })
      for (const container of at(spec, 'containers') as unknown[]) {
        expect(at(container, 'securityContext')).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
        expect(at(container, 'resources', 'limits', 'memory')).toEqual(expect.any(String))
      }
    }
  })

  test('selects pods that it has, over ports that they have', () => {
    for (const deployment of of('Deployment'))
      expect(at(deployment, 'spec', 'template', 'metadata', 'labels')).toMatchObject(
        at(deployment, 'spec', 'selector', 'matchLabels') as object,
      )
    const templates = of('Deployment').map((deployment) => at(deployment, 'spec', 'template'))
    const selects = (labels: unknown): unknown[] =>
      templates.filter((template) =>
        Object.entries(labels as Record<string, string>).every(
          ([key, value]) => at(template, 'metadata', 'labels', key) === value,
        ),
      )
    for (const service of of('Service')) {
      const [template] = selects(at(service, 'spec', 'selector'))
      const ports = (at(template, 'spec', 'containers', 0, 'ports') as { name: string }[]).map((port) => port.name)
      for (const { targetPort } of at(service, 'spec', 'ports') as { targetPort: string }[])
        expect(ports).toContain(targetPort)
    }
    for (const kind of ['NetworkPolicy', 'PodDisruptionBudget'])
      for (const each of of(kind)) {
        const labels = at(each, 'spec', kind === 'NetworkPolicy' ? 'podSelector' : 'selector', 'matchLabels')
        expect(selects(labels), `${kind} ${each.metadata.name}`).toHaveLength(1)
      }
    for (const scaler of of('HorizontalPodAutoscaler'))
      expect(
        at(named('Deployment', at(scaler, 'spec', 'scaleTargetRef', 'name') as string), 'spec', 'replicas'),
      ).toBeUndefined()
    for (const monitor of of('ServiceMonitor')) {
      const labels = at(monitor, 'spec', 'selector', 'matchLabels') as Record<string, string>
      const [service] = of('Service').filter((each) =>
        Object.entries(labels).every(([key, value]) => at(each, 'metadata', 'labels', key) === value),
      )
      expect(at(service, 'spec', 'ports')).toContainEqual(
        expect.objectContaining({ name: at(monitor, 'spec', 'endpoints', 0, 'port') }),
      )
    }
  })

  test('mounts what it has, and the secret that the installer makes', () => {
    const secret = parse(
      execFileSync('cat', [join(folder, 'examples/secret-keys.yaml')], { encoding: 'utf8' }),
    ) as Manifest
    validate(secret)
    for (const volume of at(pod(), 'volumes') as Record<string, unknown>[]) {
      const map = at(volume, 'configMap', 'name')
      const claim = at(volume, 'persistentVolumeClaim', 'claimName')
      if (map !== undefined) named('ConfigMap', map as string)
      else if (claim !== undefined) named('PersistentVolumeClaim', claim as string)
      else expect(at(volume, 'secret', 'secretName')).toBe(secret.metadata.name)
    }
  })

  test('carries a configuration that check passes, with ports and times that fit the pod', async () => {
    const site = mkdtempSync(join(tmpdir(), 'gateway-kubernetes-'))
    temporary.push(site)
    for (const part of ['config', 'policies']) {
      mkdirSync(join(site, part))
      const data = at(named('ConfigMap', `devin-gateway-${part}`), 'data') as Record<string, string>
      for (const [file, content] of Object.entries(data)) writeFileSync(join(site, part, file), content)
    }
    const file = join(site, 'config/gateway.yaml')
    expect(await callCommand(['check', '--config', file])).toMatchObject({ code: 0 })
    const config = parse(execFileSync('cat', [file], { encoding: 'utf8' })) as Record<string, unknown>
    const ports = at(pod(), 'containers', 0, 'ports') as { name: string; containerPort: number }[]
    for (const { name: port, containerPort } of ports)
      expect(at(config, 'listen', port)).toMatch(new RegExp(`:${containerPort}$`))
    const seconds = ['delay', 'deadline'].map((each) => Number.parseInt(String(at(config, 'shutdown', each)), 10))
    expect(at(pod(), 'terminationGracePeriodSeconds')).toBeGreaterThan((seconds[0] ?? 0) + (seconds[1] ?? 0))
    expect(config['store'] !== undefined).toBe(name !== 'single')
  })
})
