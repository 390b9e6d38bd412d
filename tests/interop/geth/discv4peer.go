package main

import (
	"crypto/ecdsa"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"

	"ferry/interop/lines"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
	whisper "github.com/ethereum/go-ethereum/whisper/whisperv6"
)

// discv4peer is a node that finds its peers by discv4: with Whisper and connections, or discovery alone, whose single questions can then be asked.
func discv4peer(port *lines.Port, args []string) error {
	flags := flag.NewFlagSet("discv4peer", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on, TCP and UDP")
	bootnodes := flags.String("bootnodes", "", "enodes or records to start from, separated by spaces")
	alone := flags.Bool("alone", false, "discovery without connections")
	noDial := flags.Bool("no-dial", false, "never open a connection")
	verbosity := flags.Int("verbosity", int(log.LvlWarn), "log level on standard error, 0 to 5")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log.Root().SetHandler(log.LvlFilterHandler(log.Lvl(*verbosity), log.StreamHandler(os.Stderr, log.TerminalFormat(false))))
	var boot []*enode.Node
	for _, text := range strings.Fields(*bootnodes) {
		one, err := enode.Parse(enode.ValidSchemes, text)
		if err != nil {
			return fmt.Errorf("bootnode: %w", err)
		}
		boot = append(boot, one)
	}
	key, err := crypto.GenerateKey()
	if err != nil {
		return err
	}
	if *alone {
		return discoverAlone(port, key, *listen, boot)
	}

	stack, err := node.New(&node.Config{
		Name:  "ferry-interop",
		NoUSB: true,
		P2P:   p2p.Config{ListenAddr: *listen, MaxPeers: 25, NoDial: *noDial, BootstrapNodes: boot, PrivateKey: key},
	})
	if err != nil {
		return err
	}
	shh, err := whisper.New(stack, &whisper.Config{MaxMessageSize: whisper.DefaultMaxMessageSize, MinimumAcceptedPOW: whisper.DefaultMinimumPoW})
	if err != nil {
		return err
	}
	if err := stack.Start(); err != nil {
		return err
	}
	g := &geth{port: port, server: stack.Server(), shh: shh, api: whisper.NewPublicWhisperAPI(shh), stop: make(chan struct{})}
	identity := g.identity()
	identity["role"] = "discv4peer"
	identity["record"] = g.server.Self().String()
	port.Event("ready", identity)
	err = port.Serve(map[string]lines.Op{"info": g.info, "peers": g.peers})
	close(g.stop)
	if closing := stack.Close(); err == nil {
		err = closing
	}
	return err
}

// prober asks single questions.
type prober struct {
	udp *discover.UDPv4
}

func discoverAlone(port *lines.Port, key *ecdsa.PrivateKey, listen string, boot []*enode.Node) error {
	address, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		return err
	}
	socket, err := net.ListenUDP("udp", address)
	if err != nil {
		return err
	}
	local, ok := socket.LocalAddr().(*net.UDPAddr)
	if !ok {
		return errors.New("the socket has no UDP address")
	}
	db, err := enode.OpenDB("")
	if err != nil {
		return err
	}
	defer db.Close()
	self := enode.NewLocalNode(db, key)
	self.SetStaticIP(local.IP)
	self.SetFallbackUDP(local.Port)
	udp, err := discover.ListenV4(socket, self, discover.Config{PrivateKey: key, Bootnodes: boot})
	if err != nil {
		return err
	}
	defer udp.Close()
	prober := &prober{udp: udp}
	port.Event("ready", lines.Fields{
		"role": "discv4peer", "enode": udp.Self().URLv4(), "record": udp.Self().String(), "node_id": udp.Self().ID().String(),
		"public_key": lines.Hex(crypto.FromECDSAPub(&key.PublicKey)), "listen": local.String(),
	})
	return port.Serve(map[string]lines.Op{"ping": prober.ping, "record": prober.record, "lookup": prober.lookup})
}

// ping returns when the pong is there.
func (p *prober) ping(request lines.Request) (lines.Fields, error) {
	peer, err := new(enodeArg).from(request)
	if err != nil {
		return nil, err
	}
	return nil, p.udp.Ping(peer)
}

// record asks a node for its record, after mutual pings; go-ethereum verifies it.
func (p *prober) record(request lines.Request) (lines.Fields, error) {
	peer, err := new(enodeArg).from(request)
	if err != nil {
		return nil, err
	}
	found, err := p.udp.RequestENR(peer)
	if err != nil {
		return nil, err
	}
	return lines.Fields{"record": found.String(), "seq": found.Seq(), "enode": found.URLv4()}, nil
}

// lookup walks to the nodes that are closest to the key of an enode.
func (p *prober) lookup(request lines.Request) (lines.Fields, error) {
	target, err := new(enodeArg).from(request)
	if err != nil {
		return nil, err
	}
	nodes := []string{}
	for _, one := range p.udp.LookupPubkey(target.Pubkey()) {
		nodes = append(nodes, one.URLv4())
	}
	return lines.Fields{"nodes": nodes}, nil
}
