#!/usr/bin/env bash
# Makes sure that what the build (and the tests) need is on this machine.
# As root on Debian or Ubuntu it installs what is missing; otherwise it stops with the line to run.
set -eu
stage=${1:-build}
packages=()
need() { packages+=("$1"); }
install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }

if ! command -v cargo >/dev/null; then
  echo "setup: no Rust toolchain found. Install rustup (see rustup.rs), then: rustup toolchain install stable" >&2
  exit 1
fi
for component in rustfmt clippy; do
  if [ "$stage" = test ] && ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
    echo "setup: the Rust component $component is missing. Run: rustup component add $component" >&2
    exit 1
  fi
done
command -v cc >/dev/null || need gcc
command -v c++ >/dev/null || need g++
command -v make >/dev/null || need make
# bindgen (for RocksDB) loads libclang when it runs.
libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] && return 0
  ldconfig -p 2>/dev/null | grep -q 'libclang[-.0-9]*\.so' && return 0
  compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' | grep -qv 'libclang-cpp' && return 0
  return 1
}
libclang || need libclang-dev
if [ "$stage" = test ]; then
  command -v go >/dev/null || need golang-go
  command -v git >/dev/null || need git
  command -v node >/dev/null || need nodejs
  command -v npm >/dev/null || need npm
  if ! command -v python3 >/dev/null; then need python3; need python3-cryptography; fi
fi

if [ ${#packages[@]} -gt 0 ]; then
  line="apt-get update && apt-get install -y ${packages[*]}"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing ${packages[*]}"
    apt-get update -qq
    install "${packages[@]}"
  else
    echo "setup: missing: ${packages[*]}. Run this as root, then again: $line" >&2
    exit 1
  fi
fi

# Network namespaces with routers between them: where they cannot be had, their tests say that they are left out.
if [ "$stage" = test ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  routers=()
  command -v ip >/dev/null || routers+=(iproute2)
  command -v nft >/dev/null || routers+=(nftables)
  if [ ${#routers[@]} -gt 0 ]; then
    echo "setup: installing ${routers[*]}"
    { apt-get update -qq && install "${routers[@]}"; } ||
      echo "setup: ${routers[*]} cannot be installed; tests behind routers are left out" >&2
  fi
fi

# The Sphinx oracle is written in Python with the package `cryptography`.
if [ "$stage" = test ]; then
  python=${FERRY_PYTHON:-python3}
  if ! "$python" -c 'import cryptography' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && [ "$(command -v "$python")" = /usr/bin/python3 ] && command -v apt-get >/dev/null; then
      install python3-cryptography
    elif ! "$python" -m pip install -q cryptography; then
      echo "setup: $python lacks the package cryptography. Run: $python -m pip install cryptography" >&2
      exit 1
    fi
  fi
fi
