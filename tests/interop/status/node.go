package main

import (
	"errors"

	"ferry/interop/lines"

	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"go.uber.org/zap"

	"github.com/status-im/status-go/eth-node/types"
	enstypes "github.com/status-im/status-go/eth-node/types/ens"
)

// bridge is what a messenger sees of its node.
type bridge struct {
	server *p2p.Server
	shh    types.Whisper
}

func (b *bridge) GetWhisper(interface{}) (types.Whisper, error) { return b.shh, nil }

func (b *bridge) GetWaku(interface{}) (types.Waku, error) {
	return nil, errors.New("this client speaks Whisper only")
}

// NewENSVerifier has nothing to verify: names live on a chain that the tests do not have.
func (b *bridge) NewENSVerifier(*zap.Logger) enstypes.ENSVerifier { return nil }

func (b *bridge) AddPeer(url string) error {
	peer, err := enode.ParseV4(url)
	if err == nil {
		b.server.AddPeer(peer)
	}
	return err
}

func (b *bridge) RemovePeer(url string) error {
	peer, err := enode.ParseV4(url)
	if err == nil {
		b.server.RemovePeer(peer)
	}
	return err
}

// envelopeEvents reports what the app shows as the ticks of an outgoing message.
type envelopeEvents struct {
	port *lines.Port
}

func (e envelopeEvents) EnvelopeSent(ids [][]byte) {
	e.port.Event("sent", lines.Fields{"ids": texts(ids)})
}

func (e envelopeEvents) EnvelopeExpired(ids [][]byte, err error) {
	fields := lines.Fields{"ids": texts(ids)}
	if err != nil {
		fields["reason"] = err.Error()
	}
	e.port.Event("expired", fields)
}

func (e envelopeEvents) MailServerRequestCompleted(types.Hash, types.Hash, []byte, error) {}

func (e envelopeEvents) MailServerRequestExpired(types.Hash) {}

func texts(ids [][]byte) []string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = types.EncodeHex(id)
	}
	return texts
}

// watchPeers reports connections. The text of a lost one is the reason that the other side gave, or the error that made us drop it.
func (s *status) watchPeers(events <-chan *p2p.PeerEvent, ended <-chan error) {
	for {
		select {
		case <-ended:
			return
		case event := <-events:
			fields := lines.Fields{"peer": event.Peer.String()}
			switch event.Type {
			case p2p.PeerEventTypeAdd:
				s.port.Event("peer_up", fields)
			case p2p.PeerEventTypeDrop:
				fields["reason"] = event.Error
				s.port.Event("peer_down", fields)
			}
		}
	}
}

type enodeArg struct {
	Enode string `json:"enode"`
}

func (s *status) addPeer(request lines.Request) (lines.Fields, error) {
	var arg enodeArg
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	peer, err := enode.ParseV4(arg.Enode)
	if err != nil {
		return nil, err
	}
	s.server.AddPeer(peer)
	return lines.Fields{"peer": peer.ID().String()}, nil
}

func (s *status) removePeer(request lines.Request) (lines.Fields, error) {
	var arg enodeArg
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	peer, err := enode.ParseV4(arg.Enode)
	if err != nil {
		return nil, err
	}
	s.server.RemovePeer(peer)
	return nil, nil
}

func (s *status) peers(request lines.Request) (lines.Fields, error) {
	peers := []lines.Fields{}
	for _, peer := range s.server.PeersInfo() {
		peers = append(peers, lines.Fields{
			"id": peer.ID, "enode": peer.Enode, "name": peer.Name, "caps": peer.Caps,
			"inbound": peer.Network.Inbound, "remote": peer.Network.RemoteAddress, "shh": peer.Protocols["shh"],
		})
	}
	return lines.Fields{"peers": peers}, request.Into(&struct{}{})
}
