#!/usr/bin/env bash
# Builds the Go drivers around real peers into the directory given, and puts the packages of web3 there.
set -eu
if [ $# -ne 1 ]; then
  echo "usage: $0 DIRECTORY" >&2
  exit 2
fi
if ! command -v go >/dev/null; then
  echo "interop: Go is missing. Run: apt-get install -y golang-go" >&2
  exit 1
fi
mkdir -p "$1"
target=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
for module in geth status mvds; do
  echo "interop: building the driver $module"
  # SQLCipher is C; -w silences its warnings, which are not ours.
  (cd "$here/$module" && CGO_ENABLED=1 CGO_CFLAGS="-O2 -g -w" go build -trimpath -o "$target/ferry-interop-$module" .)
done
# The unmodified daemon, with a real mailserver.
echo "interop: building statusd"
(cd "$here/status" && CGO_ENABLED=1 CGO_CFLAGS="-O2 -g -w" go build -trimpath -o "$target/ferry-interop-statusd" github.com/status-im/status-go/cmd/statusd)
# What programs used with geth --shh. Its lock file says which packages, and their hashes; their scripts do not run.
if ! command -v npm >/dev/null; then
  echo "interop: npm is missing. Run: apt-get install -y nodejs npm" >&2
  exit 1
fi
web3="$target/web3"
if [ -d "$web3/node_modules" ] && cmp -s "$here/web3/package-lock.json" "$web3/package-lock.json"; then exit 0; fi
echo "interop: installing web3-shh"
rm -rf "$web3"
mkdir -p "$web3"
cp "$here/web3/package.json" "$here/web3/package-lock.json" "$web3/"
(cd "$web3" && npm ci --ignore-scripts --no-audit --no-fund --prefer-offline --loglevel=error) || { rm -rf "$web3"; exit 1; }
