// nginx with Lua doing the same work (gateway.lua holds the checks). Two of them, as with HAProxy.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { audience } from '../company.ts'
import { accepts, versionOf } from '../processes.ts'
import type { Peer, Site } from './peer.ts'
import { routes, teamFacts } from './policy-data.ts'

export const nginxPeer = peer('nginx', 'nginx with Lua, token verified each time', false)
export const nginxMemoPeer = peer('nginx-memo', 'nginx with Lua, verified tokens kept', true)

// Where Debian and its kin keep the modules; elsewhere the peer counts as not installed.
const modules = ['ndk_http_module.so', 'ngx_http_lua_module.so'].map((name) => `/usr/lib/nginx/modules/${name}`)
const here = fileURLToPath(new URL('.', import.meta.url))

function peer(id: 'nginx' | 'nginx-memo', title: string, keepsTokens: boolean): Peer {
  return {
    id,
    title,
    guards: true,
    installed: () => (modules.every((file) => existsSync(file)) ? versionOf('nginx', ['-v']) : null),
    port: ({ ports }) => ports[id],
    prepare(site) {
      const home = join(site.installation.directory, id)
      mkdirSync(home, { recursive: true, mode: 0o700 })
      writeFileSync(join(home, 'policy.json'), policyFile(site), { mode: 0o600 })
      writeFileSync(join(home, 'nginx.conf'), configuration(site, site.ports[id], home, keepsTokens))
      return { file: 'nginx', args: ['-p', home, '-e', join(home, 'error.log'), '-c', join(home, 'nginx.conf')] }
    },
    isReady: ({ ports }) => accepts(ports[id]),
  }
}

function policyFile({ installation }: Site): string {
  const teams = teamFacts(installation).map(({ team, permissions, reader, runner, ...rest }) => [
    team,
    {
      ...rest,
      permissions: Object.fromEntries(permissions.map((permission) => [permission, true])),
      reader: `Bearer ${reader}`,
      runner: `Bearer ${runner}`,
    },
  ])
  return JSON.stringify({
    issuer: installation.issuer,
    audience,
    teams: Object.fromEntries(teams),
    routes: Object.fromEntries(routes.map(({ method, shape, ...rest }) => [`${method}_${shape}`, rest])),
  })
}

const configuration = ({ installation, ports }: Site, port: number, home: string, keepsTokens: boolean): string => `
${modules.map((file) => `load_module ${file};`).join('\n')}
daemon off;
master_process off;
pid ${home}/nginx.pid;
events { worker_connections 20000; }
http {
  access_log off;
  client_body_temp_path ${home}/body;
  proxy_temp_path ${home}/proxy;
  fastcgi_temp_path ${home}/fastcgi;
  uwsgi_temp_path ${home}/uwsgi;
  scgi_temp_path ${home}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  sendfile on;
  tcp_nopush on;
  client_header_buffer_size 8k;
  open_file_cache max=10000 inactive=60s;
  proxy_cache_path ${home}/cache keys_zone=api:10m inactive=1h max_size=64m use_temp_path=off;
  lua_shared_dict uses 1m;
  lua_package_path "${here}?.lua;;";
  init_by_lua_block {
    gateway = require("gateway")
    gateway.load("${home}/policy.json", "${installation.publicKeyFile}", ${keepsTokens})
  }
  upstream api { server 127.0.0.1:${ports.upstream}; keepalive 128; keepalive_requests 1000000000; keepalive_timeout 300s; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      set $credential "";
      set $zone off;
      rewrite_by_lua_block { gateway.run() }
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization $credential;
      proxy_buffers 16 16k;
      proxy_buffer_size 16k;
      proxy_max_temp_file_size 0;
      proxy_cache $zone;
      proxy_cache_key "$credential|$request_uri";
      proxy_cache_valid 200 1h;
      proxy_pass http://api;
    }
  }
}
`
