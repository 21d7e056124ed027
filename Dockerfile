# The production image: Node.js, the TypeScript of src/ as it is, and the production dependencies. No build tools, no
# tests. Configuration, policies and keys are mounted; the samples are for `init` and `sandbox`. See docs/deployment.md.

FROM node:24.21.0-slim AS build
WORKDIR /opt/devin-gateway
COPY package.json package-lock.json ./
COPY tools/runtime/package.json tools/runtime/
# No dev dependencies. The optional ones are the Node.js that development pins; this image brings its own.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund
# The parts of the image, as CycloneDX. npm names it after the folder.
RUN npm sbom --package-lock-only --workspaces=false --omit=dev --omit=optional --sbom-type=application --sbom-format=cyclonedx > sbom.cdx.json
COPY bin bin
COPY src src
COPY config config
COPY policies policies
COPY deploy/ci deploy/ci
# Types are stripped and modules compiled once, here, by the user who runs the gateway: Node.js keeps the cache by user
# id, and on a read-only root nothing could be added to it later.
RUN mkdir /compile-cache && chown 10001:10001 /compile-cache
USER 10001:10001
# With the flag of the entry point below: V8 takes no code that was compiled under other flags.
RUN NODE_COMPILE_CACHE=/compile-cache node --max-semi-space-size=8 --v8-pool-size=1 bin/devin-gateway.mjs --help > /dev/null

FROM node:24.21.0-slim
# A new volume that is mounted here takes over the owner.
RUN mkdir /var/log/devin-gateway && chown 10001:10001 /var/log/devin-gateway
WORKDIR /opt/devin-gateway
COPY --from=build --chown=0:0 /opt/devin-gateway /opt/devin-gateway
COPY --from=build --chown=10001:10001 /compile-cache /compile-cache
# docker build --build-arg COMMIT=$(git rev-parse HEAD): what --version says.
ARG COMMIT=
LABEL org.opencontainers.image.title="devin-gateway" \
      org.opencontainers.image.description="A least-privilege gateway in front of the Devin Enterprise API" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.base.name="docker.io/library/node:24.21.0-slim"
ENV NODE_ENV=production \
    GATEWAY_COMMIT=$COMMIT \
    NODE_COMPILE_CACHE=/compile-cache \
    MALLOC_ARENA_MAX=2 \
    GATEWAY_CONFIG=/etc/devin-gateway/config/gateway.yaml \
    GATEWAY_LOG_DIR=/var/log/devin-gateway
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# For an operators' listener on 127.0.0.1:9090 (the default) or on all addresses.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9090/livez').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Room for young objects: what Node.js takes by itself on a large machine costs a hundred megabytes and longer pauses;
# MALLOC_ARENA_MAX saves 25 MB with a full cache. One thread of V8 in place of four keeps the slowest requests short
# (docs/performance.md).
ENTRYPOINT ["node", "--max-semi-space-size=8", "--v8-pool-size=1", "bin/devin-gateway.mjs"]
CMD ["start"]
