package main

import (
	"errors"
	"time"

	"ferry/interop/lines"

	"github.com/ethereum/go-ethereum/whisper/mailserver"
	whisper "github.com/ethereum/go-ethereum/whisper/whisperv6"
)

const (
	// requestTTL is the life of a request, in seconds.
	requestTTL = 50
	// requestWork is how long to look for the work of a request, in seconds.
	requestWork = 20
)

// serveMail makes the node a mailserver with a database in a folder.
func serveMail(shh *whisper.Whisper, folder, password string, pow float64) (*mailserver.WMailServer, error) {
	server := &mailserver.WMailServer{}
	if err := server.Init(shh, folder, password, pow); err != nil {
		return nil, err
	}
	shh.RegisterServer(server)
	return server, nil
}

// requestMail sends code 126 with what the test wants to be in it. What comes for it goes to filters with allow_p2p.
func (g *geth) requestMail(request lines.Request) (lines.Fields, error) {
	arg := struct {
		enodeArg
		SymKey  string    `json:"sym_key"`
		Payload lines.Hex `json:"payload"`
		Pow     float64   `json:"pow"`
		Signed  *bool     `json:"signed"`
	}{}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	peer, err := arg.node()
	if err != nil {
		return nil, err
	}
	params := whisper.MessageParams{
		Payload: arg.Payload, PoW: arg.Pow, TTL: requestTTL, WorkTime: requestWork, Src: g.server.PrivateKey,
	}
	if arg.Signed != nil && !*arg.Signed {
		params.Src = nil
	}
	if arg.SymKey != "" {
		if params.KeySym, err = g.shh.GetSymKey(arg.SymKey); err != nil {
			return nil, err
		}
	} else {
		params.Dst = peer.Pubkey()
	}
	message, err := whisper.NewSentMessage(&params)
	if err != nil {
		return nil, err
	}
	envelope, err := message.Wrap(&params)
	if err != nil {
		return nil, err
	}
	if envelope == nil {
		return nil, errors.New("no envelope")
	}
	// The connection is known to the server before Whisper knows the peer.
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err = g.shh.RequestHistoricMessages(peer.ID().Bytes(), envelope)
		if err == nil || time.Now().After(end) {
			break
		}
	}
	hash := envelope.Hash()
	return lines.Fields{"hash": lines.Hex(hash[:])}, err
}
