#!/usr/bin/env bash
# run.sh TARGET [RUNS]: builds one fuzz target, gives libFuzzer the committed inputs, and runs it.
# Targets of the mixnet are called mix-TARGET; their folder is mixnet/fuzz. `all` runs every target of both in turn.
# SANITIZER=address finds more in C code and takes twice as long. PACK=1 minimises what was found and writes corpus/TARGET.txt anew.
set -eu -o pipefail
script=$(realpath "$0")
cd "$(dirname "$script")"
mix=../mixnet/fuzz
named() { sed 's/\.txt$//'; }
targets() { (cd corpus && ls) | named; (cd $mix/corpus && ls) | named | sed 's/^/mix-/'; }
target=${1:?which target? One of: $(targets | tr '\n' ' ')}
runs=${2:-1000000}
work=${FERRY_FUZZ_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ferry/fuzz}
if [ "$target" = all ]; then
  for each in $(targets); do "$script" "$each" "$runs"; done
  exit
fi
targets | grep -qxF -- "$target" || { echo "fuzz: no target $target; there are: $(targets | tr '\n' ' ')" >&2; exit 1; }
if ! cargo +nightly --version >/dev/null 2>&1; then
  echo "fuzz: libFuzzer needs a nightly compiler. Run: rustup toolchain install nightly --profile minimal" >&2
  exit 1
fi
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
  echo "fuzz: cargo-fuzz is missing. Run: cargo install cargo-fuzz --locked" >&2
  exit 1
fi
# Longer inputs say nothing new and take longer.
case $target in
  packet | envelope) longest=1500 ;;
  discv4) longest=1281 ;;
  opener) longest=1100 ;;
  enr_pairs) longest=310 ;;
  signature) longest=100 ;;
  mail) longest=1024 ;;
  mix-descriptor) longest=1500 ;;
  mix-frame | mix-message | mix-request | mix-cell) longest=4000 ;;
  *) longest=600 ;;
esac
# Where the target lives, and what it is called there.
inputs="$work/corpus/$target" found="$work/found/$target/" built="$work/target"
mkdir -p "$inputs" "$found"
case $target in mix-*) cd $mix; target=${target#mix-} built="$work/target-mix" ;; esac
fuzz() { cargo +nightly fuzz "$1" --sanitizer "${SANITIZER:-none}" --target-dir "$built" "${@:2}"; }
python3 corpus.py unpack "$target" "$inputs"
fuzz run "$target" "$inputs" -- -runs="$runs" -max_len="$longest" -timeout=5 -rss_limit_mb=512 \
  -artifact_prefix="$found" -print_final_stats=1
if [ -n "${PACK:-}" ]; then
  fuzz cmin "$target" "$inputs" -- -max_len="$longest"
  python3 corpus.py pack "$target" "$inputs" 160
fi
