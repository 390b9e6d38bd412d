package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/ioutil"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"ferry/interop/lines"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/rlp"
	whisper "github.com/ethereum/go-ethereum/whisper/whisperv6"
)

// workload is one row of the table: what is sent, and to how many it is relayed.
type workload struct {
	Envelopes int `json:"envelopes"`
	Size      int `json:"size"` // bytes of sealed data
	Batch     int `json:"batch"`
	Observers int `json:"observers"`
}

func (w workload) String() string {
	return fmt.Sprintf("%d x %d B, batches of %d, %d observers", w.Envelopes, w.Size, w.Batch, w.Observers)
}

// measurement is what one node needed for one workload.
type measurement struct {
	Node      string   `json:"node"`
	Workload  workload `json:"workload"`
	CPUMicros float64  `json:"cpu_us_per_envelope"`
	PerSecond float64  `json:"envelopes_per_second"`
	BaseMiB   float64  `json:"rss_mib_before"`
	PooledMiB float64  `json:"rss_mib_pooled"`
	PeakMiB   float64  `json:"rss_mib_peak"`
	Missing   int      `json:"missing"` // envelopes that some observer never got
}

// loadgen drives whole nodes side by side: one peer sends, others watch that everything arrives.
// Each --node is NAME=COMMAND; the command prints the node's enode on standard output and runs until its standard input closes or it is killed.
func loadgen(port *lines.Port, args []string) error {
	flags := flag.NewFlagSet("loadgen", flag.ExitOnError)
	var nodes nodeFlags
	flags.Var(&nodes, "node", "NAME=COMMAND; repeat it, the first is the reference of the ratios")
	rounds := flags.Int("rounds", 3, "rounds; in each every node has its turn, and the median counts")
	rows := flags.String("rows", "40000x512/64x1,40000x512/64x8,20000x1400/64x1,20000x1400/64x8,10000x512/1x1", "workloads: ENVELOPESxBYTES/BATCHxOBSERVERS")
	out := flags.String("out", "", "file for the results as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log.Root().SetHandler(log.DiscardHandler())
	if len(nodes) == 0 {
		return errors.New("--node is missing")
	}
	var results []measurement
	for _, row := range strings.Split(*rows, ",") {
		var work workload
		if _, err := fmt.Sscanf(row, "%dx%d/%dx%d", &work.Envelopes, &work.Size, &work.Batch, &work.Observers); err != nil {
			return fmt.Errorf("row %q: %w", row, err)
		}
		taken := map[string][]measurement{}
		for round := 0; round < *rounds; round++ {
			for _, node := range nodes {
				one, err := measure(node, work)
				if err != nil {
					return fmt.Errorf("%s, %v: %w", node.name, work, err)
				}
				fmt.Fprintf(os.Stderr, "loadgen: %v: %s %.1f us, %.0f/s, %.0f MiB\n", work, node.name, one.CPUMicros, one.PerSecond, one.PooledMiB)
				taken[node.name] = append(taken[node.name], one)
			}
		}
		for _, node := range nodes {
			results = append(results, median(taken[node.name]))
		}
	}
	table(results, nodes[0].name)
	if *out != "" {
		encoded, err := json.MarshalIndent(map[string]interface{}{"bench": "relay", "rounds": *rounds, "results": results}, "", "  ")
		if err != nil {
			return err
		}
		return ioutil.WriteFile(*out, append(encoded, '\n'), 0o644)
	}
	return nil
}

type nodeCommand struct{ name, command string }

type nodeFlags []nodeCommand

func (n *nodeFlags) String() string { return "" }

func (n *nodeFlags) Set(text string) error {
	at := strings.Index(text, "=")
	if at <= 0 {
		return errors.New("not NAME=COMMAND")
	}
	*n = append(*n, nodeCommand{text[:at], text[at+1:]})
	return nil
}

// median takes the round with the median cost, and the memory that goes with it.
func median(rounds []measurement) measurement {
	sort.Slice(rounds, func(i, j int) bool { return rounds[i].CPUMicros < rounds[j].CPUMicros })
	return rounds[len(rounds)/2]
}

func table(results []measurement, reference string) {
	fmt.Fprintln(os.Stderr, "| workload | node | CPU µs per envelope | envelopes/s | MiB before | MiB pooled | MiB peak | missing | CPU ratio | memory ratio |")
	fmt.Fprintln(os.Stderr, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	base := map[workload]measurement{}
	for _, one := range results {
		if one.Node == reference {
			base[one.Workload] = one
		}
	}
	for _, one := range results {
		to := base[one.Workload]
		fmt.Fprintf(os.Stderr, "| %v | %s | %.1f | %.0f | %.0f | %.0f | %.0f | %d | %.2f | %.2f |\n", one.Workload, one.Node, one.CPUMicros, one.PerSecond,
			one.BaseMiB, one.PooledMiB, one.PeakMiB, one.Missing, one.CPUMicros/to.CPUMicros, one.PooledMiB/to.PooledMiB)
	}
}

// measure starts a node, brings the peers to it, sends, and waits until every observer has everything.
func measure(node nodeCommand, work workload) (measurement, error) {
	result := measurement{Node: node.name, Workload: work}
	running, err := start(node.command)
	if err != nil {
		return result, err
	}
	defer running.stop()

	sender, err := dial(running.enode, nil)
	if err != nil {
		return result, err
	}
	defer sender.server.Stop()
	var watching []*client
	for number := 0; number < work.Observers; number++ {
		observer, err := dial(running.enode, newTally(work.Envelopes))
		if err != nil {
			return result, err
		}
		defer observer.server.Stop()
		watching = append(watching, observer)
	}
	packets, err := packets(work)
	if err != nil {
		return result, err
	}
	time.Sleep(500 * time.Millisecond) // what the handshakes left to do is not counted

	result.BaseMiB = running.status("VmRSS")
	before, began := running.cpu(), time.Now()
	for _, packet := range packets {
		if err := sender.peer().WriteMsg(p2p.Msg{Code: 1, Size: uint32(len(packet)), Payload: strings.NewReader(packet)}); err != nil {
			return result, fmt.Errorf("sending: %w", err)
		}
	}
	last := began
	for _, observer := range watching {
		missing, at := observer.tally.wait(observer.gone)
		result.Missing += missing
		if at.After(last) {
			last = at
		}
	}
	result.CPUMicros = float64(running.cpu()-before) / 1e3 / float64(work.Envelopes)
	result.PerSecond = float64(work.Envelopes) / last.Sub(began).Seconds()
	result.PooledMiB, result.PeakMiB = running.status("VmRSS"), running.status("VmHWM")
	return result, nil
}

// packets makes code-1 payloads of distinct envelopes. The number of each is in its first bytes of data, by which the observers know it.
func packets(work workload) ([]string, error) {
	expiry := uint32(time.Now().Unix()) + ttl
	noise := rand.New(rand.NewSource(1))
	var made []string
	for from := 0; from < work.Envelopes; from += work.Batch {
		var batch []*whisper.Envelope
		for number := from; number < from+work.Batch && number < work.Envelopes; number++ {
			data := make([]byte, work.Size)
			noise.Read(data)
			binary.BigEndian.PutUint32(data, uint32(number))
			batch = append(batch, &whisper.Envelope{Expiry: expiry, TTL: ttl, Topic: whisper.BytesToTopic(data[4:8]), Data: data, Nonce: noise.Uint64()})
		}
		encoded, err := rlp.EncodeToBytes(batch)
		if err != nil {
			return nil, err
		}
		made = append(made, string(encoded))
	}
	return made, nil
}

// client is one peer of the node under test.
type client struct {
	server *p2p.Server
	tally  *tally
	ready  chan p2p.MsgReadWriter
	gone   chan struct{}
	rw     p2p.MsgReadWriter
}

func dial(to *enode.Node, tally *tally) (*client, error) {
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, err
	}
	c := &client{tally: tally, ready: make(chan p2p.MsgReadWriter, 1), gone: make(chan struct{})}
	protocol := p2p.Protocol{Name: "shh", Version: 6, Length: 128, Run: func(_ *p2p.Peer, rw p2p.MsgReadWriter) error { return c.run(rw) }}
	c.server = &p2p.Server{Config: p2p.Config{PrivateKey: key, Name: "loadgen", MaxPeers: 1, NoDiscovery: true, Protocols: []p2p.Protocol{protocol}}}
	if err := c.server.Start(); err != nil {
		return nil, err
	}
	c.server.AddPeer(to)
	select {
	case c.rw = <-c.ready:
		return c, nil
	case <-time.After(20 * time.Second):
		c.server.Stop()
		return nil, errors.New("the node does not answer")
	}
}

func (c *client) peer() p2p.MsgReadWriter { return c.rw }

// run says a Status that wants everything, and then counts what comes.
func (c *client) run(rw p2p.MsgReadWriter) error {
	full := make([]byte, whisper.BloomFilterSize)
	for at := range full {
		full[at] = 0xff
	}
	if err := p2p.SendItems(rw, 0, uint64(6), uint64(0), full, false); err != nil {
		return err
	}
	defer close(c.gone)
	for {
		msg, err := rw.ReadMsg()
		if err != nil {
			return err
		}
		switch {
		case msg.Code == 0:
			c.ready <- rw
		case msg.Code == 1 && c.tally != nil:
			payload, err := ioutil.ReadAll(msg.Payload)
			if err != nil {
				return err
			}
			if err := c.tally.count(payload); err != nil {
				return err
			}
		}
		if err := msg.Discard(); err != nil {
			return err
		}
	}
}

// tally is what an observer has seen.
type tally struct {
	mutex sync.Mutex
	seen  []bool
	left  int
	last  time.Time
	done  chan struct{}
}

func newTally(envelopes int) *tally {
	return &tally{seen: make([]bool, envelopes), left: envelopes, done: make(chan struct{})}
}

func (t *tally) count(payload []byte) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	list, _, err := rlp.SplitList(payload)
	for err == nil && len(list) > 0 {
		var envelope, data []byte
		if envelope, list, err = rlp.SplitList(list); err != nil {
			return err
		}
		for field := 0; field < 4 && err == nil; field++ {
			data, envelope, err = rlp.SplitString(envelope)
		}
		if err != nil || len(data) < 4 {
			return errors.New("not an envelope of ours")
		}
		if number := int(binary.BigEndian.Uint32(data)); number < len(t.seen) && !t.seen[number] {
			t.seen[number] = true
			t.left--
		}
	}
	if t.left == 0 && t.last.IsZero() {
		t.last = time.Now()
		close(t.done)
	}
	return err
}

// wait returns how many are missing when nothing more can be expected, and when the last one came.
func (t *tally) wait(gone chan struct{}) (int, time.Time) {
	select {
	case <-t.done:
	case <-gone:
	case <-time.After(patience):
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.last.IsZero() {
		t.last = time.Now()
	}
	return t.left, t.last
}

// process is a node under test.
type process struct {
	command *exec.Cmd
	enode   *enode.Node
}

var enodeText = regexp.MustCompile(`enode://[0-9a-f]{128}@[^"?\s]+`)

func start(text string) (*process, error) {
	command := exec.Command("sh", "-c", text)
	command.Stderr = os.Stderr
	if _, err := command.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(stdout)
	for {
		line, err := reader.ReadString('\n')
		if found := enodeText.FindString(line); found != "" {
			node, err := enode.ParseV4(found)
			if err != nil {
				return nil, err
			}
			go reader.WriteTo(ioutil.Discard)
			return &process{command, node}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q printed no enode: %w", text, err)
		}
	}
}

func (p *process) stop() {
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
}

// cpu is the processor time of all threads in nanoseconds.
func (p *process) cpu() int64 {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.command.Process.Pid))
	var total int64
	for _, file := range files {
		text, _ := ioutil.ReadFile(file)
		if fields := strings.Fields(string(text)); len(fields) > 0 {
			nanos, _ := strconv.ParseInt(fields[0], 10, 64)
			total += nanos
		}
	}
	return total
}

// status is a line of /proc/PID/status in MiB.
func (p *process) status(name string) float64 {
	text, _ := ioutil.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, name+":") {
			kib, _ := strconv.ParseFloat(strings.Fields(line)[1], 64)
			return kib / 1024
		}
	}
	return 0
}

// ttl outlives every measurement.
const ttl = 3600

// patience is how long nothing may be complete before the rest counts as missing.
const patience = 120 * time.Second
