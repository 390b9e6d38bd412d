package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"time"

	"ferry/interop/lines"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/enode"
	whisper "github.com/ethereum/go-ethereum/whisper/whisperv6"
)

// pollEvery is how often filters are drained: well below the 300 ms tick of the protocol.
const pollEvery = 50 * time.Millisecond

// geth is one node with Whisper on it.
type geth struct {
	port   *lines.Port
	server *p2p.Server
	shh    *whisper.Whisper
	api    *whisper.PublicWhisperAPI
	stop   chan struct{}
}

func gethpeer(port *lines.Port, args []string) error {
	flags := flag.NewFlagSet("gethpeer", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on; empty: dial only")
	key := flags.String("key", "", "node key, 32 bytes hex; empty: random")
	minPow := flags.Float64("min-pow", whisper.DefaultMinimumPoW, "least proof of work that is accepted")
	maxSize := flags.Uint("max-message-size", uint(whisper.DefaultMaxMessageSize), "largest message and packet that is accepted")
	maxPeers := flags.Int("max-peers", 25, "connections at most")
	light := flags.Bool("light", false, "behave as a light client")
	eth := flags.Bool("eth", false, "also offer eth/63, 17 messages long, whose messages are read and ignored")
	noShh := flags.Bool("no-shh", false, "do not offer Whisper to peers")
	mail := flags.String("mail", "", "folder of a mailserver's database; empty: no mailserver")
	password := flags.String("mail-password", "status-offline-inbox", "what requests to the mailserver are sealed with")
	verbosity := flags.Int("verbosity", int(log.LvlWarn), "log level on standard error, 0 to 5")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log.Root().SetHandler(log.LvlFilterHandler(log.Lvl(*verbosity), log.StreamHandler(os.Stderr, log.TerminalFormat(false))))
	if *maxSize > math.MaxUint32 {
		return errors.New("--max-message-size does not fit 32 bits")
	}

	config := &node.Config{
		Name:  "ferry-interop",
		NoUSB: true,
		P2P:   p2p.Config{ListenAddr: *listen, MaxPeers: *maxPeers, NoDiscovery: true},
	}
	var err error
	if *key == "" {
		config.P2P.PrivateKey, err = crypto.GenerateKey()
	} else {
		config.P2P.PrivateKey, err = crypto.HexToECDSA(*key)
	}
	if err != nil {
		return fmt.Errorf("node key: %w", err)
	}
	stack, err := node.New(config)
	if err != nil {
		return err
	}
	if *eth {
		stack.RegisterProtocols([]p2p.Protocol{{Name: "eth", Version: 63, Length: 17, Run: ignore}})
	}
	host := stack
	if *noShh {
		// Whisper registers with a node that is never started.
		if host, err = node.New(&node.Config{Name: config.Name, NoUSB: true}); err != nil {
			return err
		}
	}
	shh, err := whisper.New(host, &whisper.Config{
		MaxMessageSize:                        uint32(*maxSize),
		MinimumAcceptedPOW:                    *minPow,
		RestrictConnectionBetweenLightClients: true,
	})
	if err != nil {
		return err
	}
	shh.SetLightClientMode(*light)
	if *mail != "" {
		server, err := serveMail(shh, *mail, *password, *minPow)
		if err != nil {
			return err
		}
		defer server.Close()
	}
	if err := stack.Start(); err != nil {
		return err
	}
	g := &geth{port: port, server: stack.Server(), shh: shh, api: whisper.NewPublicWhisperAPI(shh), stop: make(chan struct{})}
	events := make(chan *p2p.PeerEvent, 64)
	subscription := g.server.SubscribeEvents(events)
	go g.watchPeers(events, subscription.Err())

	port.Event("ready", g.identity())
	err = port.Serve(g.ops())
	close(g.stop)
	if closing := stack.Close(); err == nil {
		err = closing
	}
	return err
}

// ignore is a protocol that has nothing to say.
func ignore(_ *p2p.Peer, messages p2p.MsgReadWriter) error {
	for {
		message, err := messages.ReadMsg()
		if err != nil {
			return err
		}
		if err := message.Discard(); err != nil {
			return err
		}
	}
}

func (g *geth) ops() map[string]lines.Op {
	return map[string]lines.Op{
		"info":                  g.info,
		"add_peer":              g.addPeer,
		"remove_peer":           g.removePeer,
		"peers":                 g.peers,
		"min_pow":               g.minPow,
		"set_bloom":             g.setBloom,
		"max_message_size":      g.maxMessageSize,
		"light":                 g.light,
		"trust_peer":            g.trustPeer,
		"new_keypair":           g.newKeyPair,
		"add_private_key":       g.addPrivateKey,
		"add_sym_key":           g.addSymKey,
		"sym_key_from_password": g.symKeyFromPassword,
		"subscribe":             g.subscribe,
		"unsubscribe":           g.unsubscribe,
		"post":                  g.post,
		"request_mail":          g.requestMail,
		"envelopes":             g.envelopes,
	}
}

func (g *geth) identity() lines.Fields {
	self := g.server.Self()
	return lines.Fields{
		"role":       "gethpeer",
		"enode":      self.URLv4(),
		"node_id":    self.ID().String(),
		"public_key": lines.Hex(crypto.FromECDSAPub(self.Pubkey())),
		"listen":     g.server.ListenAddr,
	}
}

func (g *geth) info(request lines.Request) (lines.Fields, error) {
	fields := g.identity()
	info := g.api.Info(context.Background())
	fields["version"] = g.api.Version(context.Background())
	fields["memory"] = info.Memory
	fields["messages"] = info.Messages
	fields["min_pow"] = info.MinPow
	fields["min_pow_tolerance"] = g.shh.MinPowTolerance()
	fields["max_message_size"] = info.MaxMessageSize
	fields["bloom"] = lines.Hex(g.shh.BloomFilter())
	fields["bloom_tolerance"] = lines.Hex(g.shh.BloomFilterTolerance())
	fields["light"] = g.shh.LightClientMode()
	fields["envelopes"] = len(g.shh.Envelopes())
	fields["peers"] = g.server.PeerCount()
	return fields, request.Into(&struct{}{})
}

type enodeArg struct {
	Enode string `json:"enode"`
}

func (a *enodeArg) from(request lines.Request) (*enode.Node, error) {
	if err := request.Into(a); err != nil {
		return nil, err
	}
	return a.node()
}

func (a *enodeArg) node() (*enode.Node, error) {
	return enode.Parse(enode.ValidSchemes, a.Enode)
}

func (g *geth) addPeer(request lines.Request) (lines.Fields, error) {
	peer, err := new(enodeArg).from(request)
	if err != nil {
		return nil, err
	}
	g.server.AddPeer(peer)
	return lines.Fields{"peer": peer.ID().String()}, nil
}

func (g *geth) removePeer(request lines.Request) (lines.Fields, error) {
	peer, err := new(enodeArg).from(request)
	if err != nil {
		return nil, err
	}
	g.server.RemovePeer(peer)
	return nil, nil
}

func (g *geth) trustPeer(request lines.Request) (lines.Fields, error) {
	var arg enodeArg
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	_, err := g.api.MarkTrustedPeer(context.Background(), arg.Enode)
	return nil, err
}

func (g *geth) peers(request lines.Request) (lines.Fields, error) {
	peers := []lines.Fields{}
	for _, peer := range g.server.PeersInfo() {
		peers = append(peers, lines.Fields{
			"id": peer.ID, "enode": peer.Enode, "name": peer.Name, "caps": peer.Caps,
			"inbound": peer.Network.Inbound, "remote": peer.Network.RemoteAddress, "shh": peer.Protocols["shh"],
		})
	}
	return lines.Fields{"peers": peers}, request.Into(&struct{}{})
}

// watchPeers reports connections. The text of a lost one is the reason that the other side gave, or the error that made us drop it.
func (g *geth) watchPeers(events <-chan *p2p.PeerEvent, ended <-chan error) {
	for {
		select {
		case <-ended:
			return
		case <-g.stop:
			return
		case event := <-events:
			fields := lines.Fields{"peer": event.Peer.String(), "remote": event.RemoteAddress, "local": event.LocalAddress}
			switch event.Type {
			case p2p.PeerEventTypeAdd:
				g.port.Event("peer_up", fields)
			case p2p.PeerEventTypeDrop:
				fields["reason"] = event.Error
				g.port.Event("peer_down", fields)
			}
		}
	}
}

func (g *geth) minPow(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Pow float64 `json:"pow"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	return nil, g.shh.SetMinimumPoW(arg.Pow)
}

func (g *geth) light(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Light bool `json:"light"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	if arg.Light {
		g.api.MakeLightClient(context.Background())
	} else {
		g.api.CancelLightClient(context.Background())
	}
	return nil, nil
}

func (g *geth) setBloom(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Bloom lines.Hex `json:"bloom"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	return nil, g.shh.SetBloomFilter(arg.Bloom)
}

func (g *geth) maxMessageSize(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Size uint32 `json:"size"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	return nil, g.shh.SetMaxMessageSize(arg.Size)
}
