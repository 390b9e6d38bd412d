#!/usr/bin/env bash
# Measures geth and ferry as relays, in turns: bench-relay.sh FERRY DRIVER RESULTS. Rounds and rows may be set in the environment.
set -eu
ferry=$1 driver=$2 results=$3
mkdir -p "$results"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
port=${FERRY_BENCH_PORT:-42300}
"$ferry" init --role whisper --dir "$work/ferry" --port-base "$port" >/dev/null
# Made for the bench, the envelopes prove no work worth mentioning, and the node keeps to itself. It listens on loopback, where several
# connections from one address are no attack, and has no limit of packets a second, for geth has none.
run="exec '$ferry' run --dir '$work/ferry' --set whisper.listen=127.0.0.1:$port --set whisper.min_pow=0 --set whisper.rate_limit_peer=0 --set whisper.rate_limit_ip=0 --set whisper.discovery=no --set log.level=error"
"$driver" loadgen --rounds "${ROUNDS:-3}" ${ROWS:+--rows "$ROWS"} --out "$results/relay.json" \
  --node "geth=exec '$driver' gethpeer --min-pow 0 --max-peers 60 --verbosity 0" \
  --node "ferry=$run"
