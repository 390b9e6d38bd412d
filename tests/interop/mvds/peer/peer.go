// Package mvdspeer is the driver around an MVDS node of the published library. It is compiled against both versions of that library: what
// differs between them (constructors, message metadata) is a Library that each module hands in.
package mvdspeer

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"time"

	"ferry/interop/lines"

	"github.com/golang/protobuf/proto"
	"github.com/vacp2p/mvds/node"
	"github.com/vacp2p/mvds/protobuf"
	"github.com/vacp2p/mvds/state"
	"github.com/vacp2p/mvds/transport"
)

// inbox is how many payloads may wait for the node.
const inbox = 1024

// Parts are what a node is made from.
type Parts struct {
	ID          state.PeerID
	Transport   transport.Transport
	Interactive bool
	NextEpoch   node.CalculateNextEpoch
	// Path of the SQLite database; empty for a node in memory.
	Path string
}

// Built is a node with the stores that it uses.
type Built struct {
	Node     *node.Node
	States   state.SyncState
	Messages func() ([]*protobuf.Message, error)
}

// Library is one version of the published library.
type Library struct {
	Dialect string
	Build   func(Parts) (*Built, error)
	// SetMetadata and Metadata are nil where messages have none.
	SetMetadata func(*protobuf.Message, Metadata)
	Metadata    func(*protobuf.Message) *Metadata
}

// Metadata of a message, in the dialect that has it.
type Metadata struct {
	Parents   []lines.Hex `json:"parents"`
	Ephemeral bool        `json:"ephemeral"`
}

type peer struct {
	port    *lines.Port
	library Library
	node    *Built
	inbox   chan transport.Packet
	started bool
}

// Watch implements transport.Transport.
func (p *peer) Watch() transport.Packet { return <-p.inbox }

// Send implements transport.Transport: the test carries the bytes.
func (p *peer) Send(_ state.PeerID, to state.PeerID, payload protobuf.Payload) error {
	bytes, err := proto.Marshal(&payload)
	if err != nil {
		return err
	}
	p.port.Event("payload", lines.Fields{"to": lines.Hex(to[:]), "bytes": lines.Hex(bytes)})
	return nil
}

// Run is the role mvdspeer.
func Run(port *lines.Port, args []string, library Library) error {
	flags := flag.NewFlagSet("mvdspeer", flag.ExitOnError)
	id := flags.String("peer-id", "", "65 bytes hex")
	mode := flags.String("mode", "batch", "batch or interactive")
	store := flags.String("store", "memory", "memory or sqlite")
	path := flags.String("db", "", "file of the SQLite database")
	tick := flags.Int("tick-ms", 50, "length of an epoch; 0: stand still until the op start")
	retry := flags.Int64("retry-epochs", 0, "send again after so many epochs; 0: the rule of the library's own simulation (epoch + 2 * count)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p := &peer{port: port, library: library, inbox: make(chan transport.Packet, inbox)}
	parts := Parts{Transport: p, Interactive: *mode == "interactive", NextEpoch: nextEpoch(*retry)}
	if *mode != "batch" && *mode != "interactive" {
		return fmt.Errorf("--mode: want batch or interactive, got %q", *mode)
	}
	if err := decode("--peer-id", *id, parts.ID[:]); err != nil {
		return err
	}
	switch {
	case *store == "sqlite" && *path != "":
		parts.Path = *path
	case *store != "memory" || *path != "":
		return errors.New("want --store memory, or --store sqlite with --db FILE")
	}
	var err error
	if p.node, err = library.Build(parts); err != nil {
		return err
	}
	go p.deliver(p.node.Node.Subscribe())
	port.Event("ready", lines.Fields{
		"role": "mvdspeer", "dialect": library.Dialect, "peer": lines.Hex(parts.ID[:]), "mode": *mode, "store": *store, "epoch": p.node.Node.CurrentEpoch(),
	})
	if *tick > 0 {
		p.begin(*tick)
	}
	return port.Serve(p.ops())
}

func decode(name, text string, array []byte) error {
	var bytes lines.Hex
	quoted, err := json.Marshal(text)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(quoted, &bytes); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return bytes.Fixed(name, array)
}

func nextEpoch(retry int64) node.CalculateNextEpoch {
	return func(count uint64, epoch int64) int64 {
		if retry > 0 {
			return retry
		}
		return epoch + 2*int64(count)
	}
}

func (p *peer) begin(tickMs int) {
	p.started = true
	p.node.Node.Start(time.Duration(tickMs) * time.Millisecond)
}

func (p *peer) deliver(messages <-chan protobuf.Message) {
	for message := range messages {
		p.port.Event("delivered", p.describe(&message))
	}
}

func (p *peer) ops() map[string]lines.Op {
	return map[string]lines.Op{
		"start":    p.start,
		"epoch":    p.epoch,
		"add_peer": p.addPeer,
		"append":   p.append,
		"payload":  p.payload,
		"states":   p.states,
		"messages": p.messages,
		"encode":   p.encode,
		"decode":   p.decode,
		"id":       p.messageID,
	}
}

func (p *peer) start(request lines.Request) (lines.Fields, error) {
	arg := struct {
		TickMs int `json:"tick_ms"`
	}{50}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	if p.started || arg.TickMs <= 0 {
		return nil, errors.New("already started, or no positive tick_ms")
	}
	p.begin(arg.TickMs)
	return nil, nil
}

func (p *peer) epoch(request lines.Request) (lines.Fields, error) {
	return lines.Fields{"epoch": p.node.Node.CurrentEpoch()}, request.Into(&struct{}{})
}

func (p *peer) addPeer(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Group lines.Hex `json:"group"`
		Peer  lines.Hex `json:"peer"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	var (
		group state.GroupID
		id    state.PeerID
	)
	if err := arg.Group.Fixed("group", group[:]); err != nil {
		return nil, err
	}
	if err := arg.Peer.Fixed("peer", id[:]); err != nil {
		return nil, err
	}
	return nil, p.node.Node.AddPeer(group, id)
}

func (p *peer) append(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Group lines.Hex `json:"group"`
		Body  lines.Hex `json:"body"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	var group state.GroupID
	if err := arg.Group.Fixed("group", group[:]); err != nil {
		return nil, err
	}
	id, err := p.node.Node.AppendMessage(group, arg.Body)
	return lines.Fields{"message": lines.Hex(id[:])}, err
}

func (p *peer) payload(request lines.Request) (lines.Fields, error) {
	var arg struct {
		From  lines.Hex `json:"from"`
		Bytes lines.Hex `json:"bytes"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	var packet transport.Packet
	if err := arg.From.Fixed("from", packet.Sender[:]); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(arg.Bytes, &packet.Payload); err != nil {
		return nil, err
	}
	valid := packet.Payload.IsValid()
	select {
	case p.inbox <- packet:
		return lines.Fields{"valid": valid}, nil
	default:
		return nil, errors.New("the node is not started, or does not keep up")
	}
}

func (p *peer) states(request lines.Request) (lines.Fields, error) {
	if err := request.Into(&struct{}{}); err != nil {
		return nil, err
	}
	records, err := p.node.States.All(math.MaxInt64)
	if err != nil {
		return nil, err
	}
	states := []lines.Fields{}
	for _, record := range records {
		fields := lines.Fields{
			"type":       map[state.RecordType]string{state.OFFER: "offer", state.REQUEST: "request", state.MESSAGE: "message"}[record.Type],
			"peer":       lines.Hex(record.PeerID[:]),
			"message":    lines.Hex(record.MessageID[:]),
			"group":      nil,
			"send_count": record.SendCount,
			"send_epoch": record.SendEpoch,
		}
		if record.GroupID != nil {
			fields["group"] = lines.Hex(record.GroupID[:])
		}
		states = append(states, fields)
	}
	return lines.Fields{"states": states}, nil
}

func (p *peer) messages(request lines.Request) (lines.Fields, error) {
	if err := request.Into(&struct{}{}); err != nil {
		return nil, err
	}
	stored, err := p.node.Messages()
	if err != nil {
		return nil, err
	}
	return lines.Fields{"messages": p.describeAll(stored)}, nil
}
