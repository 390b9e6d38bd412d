# Two commands matter: `make demo` shows the main job, `make test` passes the tests.
# Both install what is missing (as root, from Debian's packages) or stop and say exactly what to run.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

# The build cache lives outside the checkout, so that a repeated run from a fresh clone is quick.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ferry
export CARGO_TARGET_DIR ?= $(CACHE)/target
export FERRY_INTEROP_DIR ?= $(CACHE)/interop
FERRY := $(CARGO_TARGET_DIR)/debug/ferry
CORES := legacy mixnet bridge

.PHONY: help demo test lint unit interop bench bench-way bench-loss bench-relay bench-open bench-pow bench-rlpx bench-mix hostile hostile-mix flood fdlimit neighbours measure-light fuzz mailbox shape charts setup setup-test

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

demo: setup ## start a whole network on this machine and send messages both ways through the mixnet
	cargo build --locked --bin ferry
	"$(FERRY)" demo

test: setup-test lint interop ## everything that must hold: lint, unit and whole-system tests, real peers
	cargo test --locked --workspace --no-fail-fast

lint: setup ## format, clippy, rustdoc and the purity of the three cores
	bash tests/lint.sh

unit: setup ## the tests of the three crates without their shells (quick)
	for core in $(CORES); do cargo test --locked -p $$core --no-default-features; done

interop: setup-test ## build the Go drivers around real peers
	bash tests/interop/build.sh "$(FERRY_INTEROP_DIR)"

bench: setup ## criterion benches of the cores (ns per operation, ratios)
	cargo bench --locked -p legacy -p mixnet --no-default-features

bench-loss: setup ## the same with and without lost packets and a dead relay: what loss costs
	cargo build --locked --bin ferry
	"$(FERRY)" demo --relays 5 --messages 100 --every-ms 3000 --quiet
	"$(FERRY)" demo --relays 5 --messages 100 --every-ms 3000 --quiet --loss 10 --kill-relay-after 50

bench-way: setup ## 200 messages each way through a devnet, with a table of latencies
	cargo build --locked --bin ferry
	"$(FERRY)" demo --messages 200 --every-ms 1000 --quiet

# Results as JSON go here; they are of one machine and stay out of the repository.
BENCH_RESULTS ?= $(CACHE)/bench
DRIVER := $(FERRY_INTEROP_DIR)/ferry-interop-geth
COMPARE := cargo bench --locked -p legacy --bench compare --
# Geth's own benchmarks, five times, by pattern and file.
GETH_BENCH = mkdir -p "$(BENCH_RESULTS)"; (cd tests/interop/geth && go test -run '^$$' -count 5 -benchtime 0.3s -bench "$(1)" github.com/ethereum/go-ethereum/whisper/whisperv6) > "$(BENCH_RESULTS)/$(2)"

bench-relay: setup-test interop ## geth and ferry side by side as relays: CPU, memory, envelopes a second
	cargo build --locked --release --bin ferry
	bash tests/interop/bench-relay.sh "$(CARGO_TARGET_DIR)/release/ferry" "$(DRIVER)" "$(BENCH_RESULTS)"

bench-open: setup-test ## opening and sealing beside geth's own benchmarks, and filters that do not match
	$(call GETH_BENCH,cryption,geth-open.txt)
	$(COMPARE) open --geth "$(BENCH_RESULTS)/geth-open.txt" --out "$(BENCH_RESULTS)/open.json"

bench-pow: setup-test ## the search for a proof of work beside geth's own benchmark
	$(call GETH_BENCH,PoW,geth-pow.txt)
	$(COMPARE) pow --geth "$(BENCH_RESULTS)/geth-pow.txt" --out "$(BENCH_RESULTS)/pow.json"

bench-rlpx: setup ## handshakes and frames
	mkdir -p "$(BENCH_RESULTS)"
	$(COMPARE) rlpx --out "$(BENCH_RESULTS)/rlpx.json"

bench-mix: setup ## the mixnet's packets, replay store and one relay under load, against their goals
	export FERRY_MIX_REPORTS="$(BENCH_RESULTS)/mix"
	missed=
	cargo bench --locked -p mixnet --no-default-features --bench sphinx || missed=1
	cargo run --locked --release -p mixnet --no-default-features --example replay_table || missed=1
	cargo build --locked --release -p mixnet --example relay_load
	"$(CARGO_TARGET_DIR)/release/examples/relay_load" || missed=1
	[ -z "$$missed" ] || { echo "bench-mix: a goal was missed" >&2; exit 1; }

# The long forms of the tests in legacy/tests/attack; reports as JSON go to FERRY_ATTACK_REPORTS.
ATTACK := cargo test --locked -p legacy --test attack -- --ignored --nocapture --test-threads 1 --exact
export FERRY_ATTACK_REPORTS ?= $(CACHE)/attack

hostile: setup ## a million malformed inputs, datagrams and envelopes each, against a node that honest peers use
	$(ATTACK) malformed_input_long
	$(ATTACK) datagrams_long
	$(ATTACK) envelopes_without_end_long

hostile-mix: setup ## a million malformed frames, ten thousand connections and ten million random packets against the mixnet
	export FERRY_MIX_REPORTS="$(FERRY_ATTACK_REPORTS)"
	cargo test --locked -p mixnet --test hostile -- --ignored --nocapture --test-threads 1
	cargo test --locked -p mixnet --test buffers -- --ignored --nocapture

flood: setup ## 5,000 silent connections and 200 new ones a second for 10 minutes
	$(ATTACK) silent_connections_long

fdlimit: setup ## a node that may open 256 files, and peers that want more
	$(ATTACK) no_descriptors_left_long

neighbours: setup ## a neighbour of a relay sends ten times what it may; the others' 99th percentile must not double
	FERRY_NEIGHBOURS_TIMED=1 cargo test --locked -p mixnet --test neighbours -- --nocapture

MINUTES ?= 10
measure-light: setup-test ## bytes a month of an idle edge with the light profile, on its own interface (root; MINUTES=10)
	cargo build --locked --bin ferry
	python3 tests/measure_light.py "$(FERRY)" --minutes "$(MINUTES)" --json "$(BENCH_RESULTS)/light.json"

fuzz: setup ## a fuzz target (or all) under libFuzzer: make fuzz TARGET=envelope RUNS=10000000
	bash fuzz/run.sh "$(TARGET)" "$(RUNS)"

mailbox: setup ## an edge that was offline for a day finds what its bridge left in mailboxes: in virtual time, and on real nodes
	cargo test --locked --test mailbox_day -- --ignored --nocapture
	cargo test --locked --test devnet mailbox -- --ignored --nocapture

# Seconds of silence and as many of load; the default is over 100,000 gaps each way of looking, in ten minutes.
SHAPE_SECONDS ?= 280
SHAPE_EDGES ?= 16

shape: setup ## delays and gaps of a real network against the theory, with and without messages (10 minutes; wants a quiet machine)
	cargo build --locked --release --bin ferry
	mkdir -p "$(BENCH_RESULTS)"
	"$(CARGO_TARGET_DIR)/release/ferry" measure shape --seconds $(SHAPE_SECONDS) --edges $(SHAPE_EDGES) --out "$(BENCH_RESULTS)/shape.json"

charts: setup ## the simulations of docs/anonymity.md, with its charts
	cargo build --locked --bin ferry
	"$(FERRY)" sim anonymity --out docs/charts

setup: ## install or name what the build needs
	@bash tests/setup.sh build

setup-test: ## install or name what the tests need as well
	@bash tests/setup.sh test
