// The upstream under load: nginx with fixed answers where it is installed, because it costs least, else our own small one.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { accepts, startProcess, untilReady, versionOf, type RunningProcess } from './processes.ts'
import { longAnswerBytes, longAnswerEnding, shortAnswerBytes } from './workloads.ts'

export interface UpstreamServer {
  readonly description: string
  readonly process: RunningProcess
}

/** A JSON text of exactly so many bytes. */
export function jsonAnswer(bytes: number): Buffer {
  const empty = '{"items":[""],"has_next_page":false}'
  return Buffer.from(empty.replace('""', `"${'x'.repeat(bytes - empty.length)}"`))
}

/** Starts the upstream on a loopback port; `directory` takes its files. */
export async function startUpstream(port: number, directory: string, core: number | null): Promise<UpstreamServer> {
  const version = versionOf('nginx', ['-v'])
  const program =
    version === null
      ? startProcess(process.execPath, [fileURLToPath(new URL('upstream-server.ts', import.meta.url)), String(port)], {
          core,
        })
      : startNginx(port, directory, core)
  await untilReady('the upstream', program, () => accepts(port))
  return { description: version === null ? 'own server on node:http' : `nginx ${version}`, process: program }
}

function startNginx(port: number, directory: string, core: number | null): RunningProcess {
  const home = join(directory, 'nginx')
  mkdirSync(home, { recursive: true })
  writeFileSync(join(home, 'long.json'), jsonAnswer(longAnswerBytes))
  writeFileSync(join(home, 'nginx.conf'), nginxConfiguration(port, home))
  return startProcess('nginx', ['-p', home, '-e', join(home, 'error.log'), '-c', join(home, 'nginx.conf')], { core })
}

// One process that dies with a signal; connections are kept for good, so that none is opened inside a measurement.
const nginxConfiguration = (port: number, home: string): string => `
daemon off;
master_process off;
pid ${home}/nginx.pid;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_header_buffer_size 8k;
  client_body_buffer_size 64k;
  client_body_temp_path ${home}/body;
  proxy_temp_path ${home}/proxy;
  fastcgi_temp_path ${home}/fastcgi;
  uwsgi_temp_path ${home}/uwsgi;
  scgi_temp_path ${home}/scgi;
  open_file_cache max=16;
  sendfile on;
  tcp_nopush on;
  default_type application/json;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { return 200 '${jsonAnswer(shortAnswerBytes).toString()}'; }
    location ~ ${longAnswerEnding}$ { root ${home}; rewrite ^ /long.json break; }
  }
}
`
