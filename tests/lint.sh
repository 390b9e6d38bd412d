#!/usr/bin/env bash
# What a change must pass before any test runs: format, clippy, rustdoc, and the purity of the cores.
set -eu -o pipefail
step() { echo "lint: $*"; }

step "format"
cargo fmt --all --check

step "clippy, warnings denied"
cargo clippy --locked --workspace --all-targets -- -D warnings

for core in legacy mixnet bridge; do
  step "purity of $core: it builds without its shell"
  cargo clippy --locked -p "$core" --no-default-features -- -D warnings
  # fixed-hash, below ethereum-types, brings rand whatever features we choose; clippy.toml forbids the methods that it adds.
  prune=()
  if [ "$core" = legacy ]; then prune=(--prune fixed-hash); fi
  tree=$(cargo tree --locked -p "$core" --no-default-features -e normal --prefix none "${prune[@]}")
  if found=$(grep -E '^(tokio|mio|libp2p|rocksdb|librocksdb-sys|getrandom|socket2|futures-executor) ' <<<"$tree"); then
    echo "lint: the core of $core reaches the outside world through:" >&2
    echo "$found" | sort -u >&2
    exit 1
  fi
done

step "only src/ knows the three crates; they do not know each other"
for pair in "legacy mixnet|bridge" "mixnet legacy|bridge" "bridge legacy|mixnet"; do
  crate=${pair%% *} others=${pair#* }
  if cargo tree --locked -p "$crate" -e normal --prefix none | grep -E "^($others) v"; then
    echo "lint: $crate depends on one of $others" >&2
    exit 1
  fi
done

step "no mention of unsafe, and no mod.rs"
if git ls-files '*.rs' | grep -E '/mod\.rs$'; then echo "lint: name it foo.rs beside foo/" >&2; exit 1; fi
for root in src/main.rs legacy/src/lib.rs mixnet/src/lib.rs bridge/src/lib.rs proto/src/lib.rs; do
  grep -q 'forbid(unsafe_code)' "$root" || { echo "lint: $root lacks #![forbid(unsafe_code)]" >&2; exit 1; }
done

step "rustdoc, warnings denied"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet
