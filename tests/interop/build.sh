#!/usr/bin/env bash
# Builds the Go drivers around real peers into the directory given.
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
