package main

import (
	"errors"
	"time"

	"ferry/interop/lines"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/rlp"

	"github.com/status-im/status-go/mailserver"
	"github.com/status-im/status-go/whisper/v6"
)

const (
	// requestWork is how long the app looks for the work of a request, in seconds.
	requestWork = 5
	// requestTimeout is when a request that nothing came for is reported as expired.
	requestTimeout = 10 * time.Second
	// pollEvery is how often caught messages are collected.
	pollEvery = 50 * time.Millisecond
)

// olderPayload is what clients before 0.40 sealed: it has no topics.
type olderPayload struct {
	Lower  uint32
	Upper  uint32
	Bloom  []byte
	Limit  uint32
	Cursor []byte
	Batch  bool
}

// watchMail reports how requests ended.
func (s *status) watchMail() {
	events := make(chan whisper.EnvelopeEvent, 64)
	subscription := s.shh.SubscribeEnvelopeEvents(events)
	defer subscription.Unsubscribe()
	for {
		select {
		case <-s.stop:
			return
		case event := <-events:
			fields := lines.Fields{"request": lines.Hex(event.Hash[:]), "peer": event.Peer.String()}
			switch event.Event {
			case whisper.EventMailServerRequestCompleted:
				response, ok := event.Data.(*whisper.MailServerResponse)
				if !ok {
					continue
				}
				fields["last"] = lines.Hex(response.LastEnvelopeHash[:])
				fields["cursor"] = lines.Hex(response.Cursor)
				if response.Error != nil {
					fields["error"] = response.Error.Error()
				}
				s.port.Event("mail_completed", fields)
			case whisper.EventMailServerRequestExpired:
				s.port.Event("mail_expired", fields)
			}
		}
	}
}

func (s *status) addSymKey(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Sym      lines.Hex `json:"sym"`
		Password string    `json:"password"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	var (
		id  string
		err error
	)
	if arg.Password != "" {
		id, err = s.shh.AddSymKeyFromPassword(arg.Password)
	} else {
		id, err = s.shh.AddSymKeyDirect(arg.Sym)
	}
	return lines.Fields{"key": id}, err
}

// catchDirect reports every direct message of a topic, as it comes.
func (s *status) catchDirect(request lines.Request) (lines.Fields, error) {
	var arg struct {
		SymKey string    `json:"sym_key"`
		Topic  lines.Hex `json:"topic"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	key, err := s.shh.GetSymKey(arg.SymKey)
	if err != nil {
		return nil, err
	}
	filter := &whisper.Filter{KeySym: key, Topics: [][]byte{arg.Topic}, AllowP2P: true, Messages: whisper.NewMemoryMessageStore()}
	id, err := s.shh.Subscribe(filter)
	if err != nil {
		return nil, err
	}
	go func() {
		ticker := time.NewTicker(pollEvery)
		defer ticker.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-ticker.C:
			}
			for _, message := range filter.Retrieve() {
				s.port.Event("direct", lines.Fields{
					"hash": lines.Hex(message.EnvelopeHash[:]), "payload": lines.Hex(message.Payload), "sent": message.Sent,
				})
			}
		}
	}()
	return lines.Fields{"filter": id}, nil
}

// requestMail asks a mailserver in one of the forms that the library has: plain as its messenger does, sealed as its API does, six as its
// API did before 0.40.
func (s *status) requestMail(request lines.Request) (lines.Fields, error) {
	arg := struct {
		Enode  string    `json:"enode"`
		Form   string    `json:"form"`
		ID     lines.Hex `json:"request"`
		SymKey string    `json:"sym_key"`
		From   uint32    `json:"from"`
		To     uint32    `json:"to"`
		Limit  uint32    `json:"limit"`
		Cursor lines.Hex `json:"cursor"`
		Bloom  lines.Hex `json:"bloom"`
	}{Bloom: whisper.MakeFullNodeBloom()}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	peer, err := enode.ParseV4(arg.Enode)
	if err != nil {
		return nil, err
	}
	if arg.Form == "plain" {
		plain := whisper.MessagesRequest{ID: arg.ID, From: arg.From, To: arg.To, Limit: arg.Limit, Cursor: arg.Cursor, Bloom: arg.Bloom}
		err := s.shh.SendMessagesRequest(peer.ID().Bytes(), plain)
		return lines.Fields{"request": arg.ID}, err
	}
	var payload []byte
	switch arg.Form {
	case "seven":
		payload, err = rlp.EncodeToBytes(mailserver.MessagesRequestPayload{
			Lower: arg.From, Upper: arg.To, Bloom: arg.Bloom, Limit: arg.Limit, Cursor: arg.Cursor, Batch: true,
		})
	case "six":
		payload, err = rlp.EncodeToBytes(olderPayload{arg.From, arg.To, arg.Bloom, arg.Limit, arg.Cursor, true})
	default:
		err = errors.New("form: want plain, six or seven")
	}
	if err != nil {
		return nil, err
	}
	params := whisper.MessageParams{Payload: payload, PoW: s.shh.MinPow(), WorkTime: requestWork, Src: s.nodeKey}
	if arg.SymKey == "" {
		params.Dst = peer.Pubkey()
	} else if params.KeySym, err = s.shh.GetSymKey(arg.SymKey); err != nil {
		return nil, err
	}
	message, err := whisper.NewSentMessage(&params)
	if err != nil {
		return nil, err
	}
	envelope, err := message.Wrap(&params, s.shh.GetCurrentTime())
	if err != nil {
		return nil, err
	}
	hash := common.Hash(envelope.Hash())
	err = s.shh.RequestHistoricMessagesWithTimeout(peer.ID().Bytes(), envelope, requestTimeout)
	return lines.Fields{"request": lines.Hex(hash[:])}, err
}
