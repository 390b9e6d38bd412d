package main

import (
	"context"
	"math"
	"time"

	"ferry/interop/lines"

	"github.com/ethereum/go-ethereum/crypto"
	whisper "github.com/ethereum/go-ethereum/whisper/whisperv6"
)

func (g *geth) newKeyPair(request lines.Request) (lines.Fields, error) {
	if err := request.Into(&struct{}{}); err != nil {
		return nil, err
	}
	id, err := g.shh.NewKeyPair()
	if err != nil {
		return nil, err
	}
	return g.keyPair(id)
}

func (g *geth) addPrivateKey(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Private lines.Hex `json:"private"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	key, err := crypto.ToECDSA(arg.Private)
	if err != nil {
		return nil, err
	}
	id, err := g.shh.AddKeyPair(key)
	if err != nil {
		return nil, err
	}
	return g.keyPair(id)
}

func (g *geth) keyPair(id string) (lines.Fields, error) {
	key, err := g.shh.GetPrivateKey(id)
	if err != nil {
		return nil, err
	}
	return lines.Fields{
		"key":     id,
		"public":  lines.Hex(crypto.FromECDSAPub(&key.PublicKey)),
		"private": lines.Hex(crypto.FromECDSA(key)),
	}, nil
}

func (g *geth) addSymKey(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Sym lines.Hex `json:"sym"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	id, err := g.shh.AddSymKeyDirect(arg.Sym)
	if err != nil {
		return nil, err
	}
	return g.symKey(id)
}

func (g *geth) symKeyFromPassword(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Password string `json:"password"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	id, err := g.shh.AddSymKeyFromPassword(arg.Password)
	if err != nil {
		return nil, err
	}
	return g.symKey(id)
}

func (g *geth) symKey(id string) (lines.Fields, error) {
	key, err := g.shh.GetSymKey(id)
	if err != nil {
		return nil, err
	}
	return lines.Fields{"key": id, "sym": lines.Hex(key)}, nil
}

func topic(name string, bytes lines.Hex) (whisper.TopicType, error) {
	var topic whisper.TopicType
	err := bytes.Fixed(name, topic[:])
	return topic, err
}

func (g *geth) subscribe(request lines.Request) (lines.Fields, error) {
	var arg struct {
		SymKey   string      `json:"sym_key"`
		Key      string      `json:"key"`
		Sig      lines.Hex   `json:"sig"`
		MinPow   float64     `json:"min_pow"`
		Topics   []lines.Hex `json:"topics"`
		AllowP2P bool        `json:"allow_p2p"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	criteria := whisper.Criteria{SymKeyID: arg.SymKey, PrivateKeyID: arg.Key, Sig: arg.Sig, MinPow: arg.MinPow, AllowP2P: arg.AllowP2P}
	for _, bytes := range arg.Topics {
		topic, err := topic("topics", bytes)
		if err != nil {
			return nil, err
		}
		criteria.Topics = append(criteria.Topics, topic)
	}
	filter, err := g.api.NewMessageFilter(criteria)
	if err != nil {
		return nil, err
	}
	go g.poll(filter)
	return lines.Fields{"filter": filter}, nil
}

func (g *geth) unsubscribe(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Filter string `json:"filter"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	_, err := g.api.DeleteMessageFilter(arg.Filter)
	return nil, err
}

// poll reports what a filter caught until the filter is gone.
func (g *geth) poll(filter string) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-g.stop:
			return
		case <-ticker.C:
		}
		messages, err := g.api.GetFilterMessages(filter)
		if err != nil {
			return
		}
		for _, message := range messages {
			g.port.Event("message", lines.Fields{
				"filter":    filter,
				"payload":   lines.Hex(message.Payload),
				"padding":   lines.Hex(message.Padding),
				"topic":     lines.Hex(message.Topic[:]),
				"sig":       orNull(message.Sig),
				"recipient": orNull(message.Dst),
				"ttl":       message.TTL,
				"timestamp": message.Timestamp,
				"pow":       math.Min(message.PoW, math.MaxFloat64), // infinite for a TTL of zero, which JSON cannot say
				"hash":      lines.Hex(message.Hash),
			})
		}
	}
}

// orNull is null for an absent key: an unsigned or a symmetric message.
func orNull(public []byte) interface{} {
	if len(public) == 0 {
		return nil
	}
	return lines.Hex(public)
}

func (g *geth) post(request lines.Request) (lines.Fields, error) {
	arg := struct {
		SymKey     string    `json:"sym_key"`
		PublicKey  lines.Hex `json:"public_key"`
		Sig        string    `json:"sig"`
		TTL        uint32    `json:"ttl"`
		Topic      lines.Hex `json:"topic"`
		Payload    lines.Hex `json:"payload"`
		Padding    lines.Hex `json:"padding"`
		PowTime    uint32    `json:"pow_time"`
		PowTarget  float64   `json:"pow_target"`
		TargetPeer string    `json:"target_peer"`
	}{Topic: make(lines.Hex, whisper.TopicLength)}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	topic, err := topic("topic", arg.Topic)
	if err != nil {
		return nil, err
	}
	hash, err := g.api.Post(context.Background(), whisper.NewMessage{
		SymKeyID: arg.SymKey, PublicKey: arg.PublicKey, Sig: arg.Sig, TTL: arg.TTL, Topic: topic, Payload: arg.Payload,
		Padding: arg.Padding, PowTime: arg.PowTime, PowTarget: arg.PowTarget, TargetPeer: arg.TargetPeer,
	})
	return lines.Fields{"hash": lines.Hex(hash)}, err
}

func (g *geth) envelopes(request lines.Request) (lines.Fields, error) {
	hashes := []lines.Hex{}
	for _, envelope := range g.shh.Envelopes() {
		hash := envelope.Hash()
		hashes = append(hashes, hash[:])
	}
	return lines.Fields{"hashes": hashes}, request.Into(&struct{}{})
}
