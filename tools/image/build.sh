#!/usr/bin/env bash
# Builds the image with buildah, without a daemon, and unpacks it for test/image: OUT/root, OUT/image.json.
#   tools/image/build.sh OUT [--stand-in]
# --stand-in: where no registry of images can be reached, a base image of the same name is made from Debian packages and
# the pinned Node.js. It serves for tests alone; never publish what is built on it.
# It needs root, buildah and netavark (Debian packages), and `npm ci` done before.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:?say where to put the result}
mkdir -p "$out"
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}"
base=$(sed -n 's/^FROM \(node:[^ ]*\)$/\1/p' Dockerfile)

if [ "${2:-}" = --stand-in ]; then
  root=$(mktemp -d)
  (
    mkdir "$root/debs" "$root/files" && chmod 755 "$root" && cd "$root/debs"
    # What the slim image is made of, as far as Node.js, npm and a shell need it.
    apt-get download -qq base-files base-passwd bash ca-certificates coreutils dash libacl1 libattr1 libc6 libcap2 \
      libcrypt1 libgcc-s1 libgmp10 libpcre2-8-0 libselinux1 libssl3t64 libstdc++6 libsystemd0 libtinfo6 libzstd1 zlib1g 2>"$root/log" ||
      { cat "$root/log" >&2; exit 1; }
    for package in *.deb; do dpkg -x "$package" ../files; done
  )
  files=$root/files
  for name in passwd group; do cp "$files/usr/share/base-passwd/$name.master" "$files/etc/$name"; done
  mkdir -p "$files/usr/local/bin" "$files/usr/local/lib/node_modules"
  cp "$(readlink -f node_modules/.bin/node)" "$files/usr/local/bin/node"
  cp -r "$(npm root -g)/npm" "$files/usr/local/lib/node_modules/"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$files/usr/local/bin/npm"
  container=$(buildah from scratch)
  buildah copy --quiet "$container" "$files" / >/dev/null
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd node "$container"
  buildah commit --quiet "$container" "docker.io/library/$base" >/dev/null
  buildah rm "$container" >/dev/null
  rm -rf "$root"
fi

# The build uses the npm settings and the certificates of this machine, and may not raise its limits.
npmrc=$(mktemp)
cat "$(npm config get globalconfig)" "$(npm config get userconfig)" >"$npmrc" 2>/dev/null || true
settings=(--volume "$npmrc:/usr/local/etc/npmrc:ro")
[ -d /etc/ssl/certs ] && settings+=(--volume /etc/ssl:/etc/ssl:ro)
buildah build --quiet --format docker --pull=missing --network host \
  --ulimit "nofile=$(ulimit -Hn):$(ulimit -Hn)" --ulimit "nproc=$(ulimit -Hu):$(ulimit -Hu)" "${settings[@]}" \
  --build-arg "COMMIT=$(git rev-parse HEAD)" --tag devin-gateway:built . >/dev/null

buildah inspect --type image devin-gateway:built >"$out/image.json"
container=$(buildah from --pull=never devin-gateway:built)
rm -rf "$out/root"
cp -a "$(buildah mount "$container")" "$out/root"
buildah rm "$container" >/dev/null
echo "devin-gateway:built, $(du -sm "$out/root" | cut -f1) MB unpacked, of which $(du -sm "$out/root/opt/devin-gateway" | cut -f1) MB are the gateway"
