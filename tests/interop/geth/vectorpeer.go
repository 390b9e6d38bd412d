package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"time"

	"ferry/interop/lines"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/rlp"
	whisper "github.com/ethereum/go-ethereum/whisper/whisperv6"
)

// notAsked is what the driver answers where go-ethereum has no such question.
type notAsked struct{ why string }

func (n notAsked) Error() string { return n.why }

// vectorpeer answers test vectors with what go-ethereum does with their input.
func vectorpeer(port *lines.Port, args []string) error {
	if err := flag.NewFlagSet("vectorpeer", flag.ExitOnError).Parse(args); err != nil {
		return err
	}
	log.Root().SetHandler(log.DiscardHandler())
	kinds := map[string]func(vector) (lines.Fields, error){
		"whisper-bloom":    bloomVector,
		"whisper-envelope": envelopeVector,
		"whisper-key":      keyVector,
		"whisper-packet":   packetVector,
		"whisper-payload":  payloadVector,
		"whisper-pow":      powVector,
		"whisper-status":   statusVector,
		"whisper-topic":    topicVector,
	}
	port.Event("ready", lines.Fields{"role": "vectorpeer"})
	return port.Serve(map[string]lines.Op{
		"check": func(request lines.Request) (lines.Fields, error) {
			var arguments struct {
				Kind  string
				Input vector
			}
			if err := request.Into(&arguments); err != nil {
				return nil, err
			}
			run := kinds[arguments.Kind]
			if run == nil {
				return lines.Fields{"result": "not_asked", "why": "no such kind"}, nil
			}
			return verdict(run, arguments.Input), nil
		},
	})
}

// verdict runs one vector. A panic is an answer too: it is what a peer could do to a go-ethereum node.
func verdict(run func(vector) (lines.Fields, error), input vector) (fields lines.Fields) {
	defer func() {
		if cause := recover(); cause != nil {
			fields = lines.Fields{"result": "panic", "why": fmt.Sprint(cause)}
		}
	}()
	output, err := run(input)
	var unasked notAsked
	switch {
	case errors.As(err, &unasked):
		return lines.Fields{"result": "not_asked", "why": err.Error()}
	case err != nil:
		return lines.Fields{"result": "invalid", "why": err.Error()}
	default:
		return lines.Fields{"result": "valid", "output": output}
	}
}

// vector is the input of one test.
type vector map[string]json.RawMessage

func (v vector) given(name string) bool {
	raw, ok := v[name]
	return ok && !bytes.Equal(raw, []byte("null"))
}

func (v vector) bytes(name string) ([]byte, error) {
	var text string
	if err := json.Unmarshal(v[name], &text); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return hex.DecodeString(text)
}

func (v vector) number(name string) (float64, error) {
	var number float64
	err := json.Unmarshal(v[name], &number)
	return number, err
}

func bloomVector(input vector) (lines.Fields, error) {
	topic, err := input.bytes("topic")
	if err != nil {
		return nil, err
	}
	// The JSON form is where go-ethereum insists on four bytes.
	var parsed whisper.TopicType
	if err := parsed.UnmarshalText([]byte("0x" + hex.EncodeToString(topic))); err != nil {
		return nil, err
	}
	sample := whisper.TopicToBloom(parsed)
	if input.given("filter") {
		filter, err := input.bytes("filter")
		if err != nil {
			return nil, err
		}
		if !whisper.BloomFilterMatch(filter, sample) {
			return nil, errors.New("no match")
		}
	}
	return lines.Fields{"bloom": lines.Hex(sample)}, nil
}

// standalone is a node without a network.
func standalone(maxSize uint32) *whisper.Whisper {
	return whisper.StandaloneWhisperService(&whisper.Config{MaxMessageSize: maxSize, MinimumAcceptedPOW: 0})
}

func envelopeVector(input vector) (lines.Fields, error) {
	raw, err := input.bytes("rlp")
	if err != nil {
		return nil, err
	}
	var envelope whisper.Envelope
	if err := rlp.DecodeBytes(raw, &envelope); err != nil {
		return nil, err
	}
	output := lines.Fields{"hash": lines.Hex(envelope.Hash().Bytes()), "sent": envelope.Expiry - envelope.TTL, "size": 20 + len(envelope.Data)}
	var skewed bool
	if input.given("now") {
		now, err := input.number("now")
		if err != nil {
			return nil, err
		}
		skewed = float64(envelope.Expiry-envelope.TTL) > now
		size := uint32(whisper.DefaultMaxMessageSize)
		if input.given("max_size") {
			number, err := input.number("max_size")
			if err != nil {
				return nil, err
			}
			size = uint32(number)
		}
		if err := inTime(&envelope, uint32(now), size); err != nil {
			return nil, err
		}
	}
	if !skewed {
		pow := envelope.PoW()
		if math.IsInf(pow, 0) {
			output["pow"] = "infinite"
		} else {
			output["pow"] = pow
		}
		if input.given("min_pow") {
			required, err := input.number("min_pow")
			if err != nil {
				return nil, err
			}
			if pow < required {
				return nil, errors.New("envelope with low PoW")
			}
		}
	} else if input.given("min_pow") {
		return nil, notAsked{"its work is measured by the clock of the moment"}
	}
	if input.given("bloom") {
		filter, err := input.bytes("bloom")
		if err != nil {
			return nil, err
		}
		if !whisper.BloomFilterMatch(filter, envelope.Bloom()) {
			return nil, errors.New("envelope does not match bloom filter")
		}
	}
	return output, nil
}

// inTime offers an envelope of the same age to a node, which asks for no work.
func inTime(envelope *whisper.Envelope, now, maxSize uint32) error {
	shifted := &whisper.Envelope{
		Expiry: envelope.Expiry + uint32(time.Now().Unix()) - now,
		TTL:    envelope.TTL,
		Topic:  envelope.Topic,
		Data:   envelope.Data,
		Nonce:  envelope.Nonce,
	}
	node := standalone(maxSize)
	node.SetMinimumPowTest(0)
	return node.Send(shifted)
}

func keyVector(input vector) (lines.Fields, error) {
	node := standalone(whisper.DefaultMaxMessageSize)
	var id string
	if input.given("password") {
		var password string
		if err := json.Unmarshal(input["password"], &password); err != nil {
			return nil, err
		}
		if password == "" {
			return nil, notAsked{"it has no key for an empty password"}
		}
		var err error
		if id, err = node.AddSymKeyFromPassword(password); err != nil {
			return nil, err
		}
	} else {
		key, err := input.bytes("key")
		if err != nil {
			return nil, err
		}
		if id, err = node.AddSymKeyDirect(key); err != nil {
			return nil, err
		}
	}
	key, err := node.GetSymKey(id)
	if err != nil {
		return nil, err
	}
	if input.given("data") {
		data, err := input.bytes("data")
		if err != nil {
			return nil, err
		}
		if _, err := (&whisper.Envelope{Data: data}).OpenSymmetric(key); err != nil {
			return nil, err
		}
	}
	return lines.Fields{"key": lines.Hex(key)}, nil
}

func payloadVector(input vector) (lines.Fields, error) {
	data, err := input.bytes("data")
	if err != nil {
		return nil, err
	}
	envelope := &whisper.Envelope{Data: data}
	var message *whisper.ReceivedMessage
	if input.given("sym_key") {
		key, err := input.bytes("sym_key")
		if err != nil {
			return nil, err
		}
		if message, err = envelope.OpenSymmetric(key); err != nil {
			return nil, err
		}
	} else {
		bytes, err := input.bytes("private_key")
		if err != nil {
			return nil, err
		}
		key, err := crypto.ToECDSA(bytes)
		if err != nil {
			return nil, err
		}
		if message, err = envelope.OpenAsymmetric(key); err != nil {
			return nil, err
		}
	}
	if !message.ValidateAndParse() {
		return nil, errors.New("does not parse")
	}
	output := lines.Fields{"payload": lines.Hex(message.Payload), "padding": lines.Hex(message.Padding), "signer": nil}
	if message.Src != nil {
		output["signer"] = lines.Hex(crypto.FromECDSAPub(message.Src))
	}
	return output, nil
}

func powVector(input vector) (lines.Fields, error) {
	raw, err := input.bytes("rlp")
	if err != nil {
		return nil, err
	}
	var short struct {
		Expiry, TTL uint32
		Topic       whisper.TopicType
		Data        []byte
	}
	if err := rlp.DecodeBytes(raw, &short); err != nil {
		return nil, err
	}
	envelope := &whisper.Envelope{Expiry: short.Expiry, TTL: short.TTL, Topic: short.Topic, Data: short.Data}
	if input.given("bits") || input.given("least") {
		return nil, notAsked{"it seals for a target only, and checks no count of bits"}
	}
	if input.given("now") {
		return nil, notAsked{"its work is measured by the clock of the moment"}
	}
	if !input.given("nonce") {
		target, err := input.number("target")
		if err != nil {
			return nil, notAsked{"it seals for a target only"}
		}
		if err := envelope.Seal(&whisper.MessageParams{PoW: target, WorkTime: 5}); err != nil {
			return nil, err
		}
	} else {
		nonce, err := input.bytes("nonce")
		if err != nil {
			return nil, err
		}
		if len(nonce) != 8 {
			return nil, notAsked{"a nonce is a number there"}
		}
		envelope.Nonce = binary.BigEndian.Uint64(nonce)
		if input.given("target") {
			return nil, notAsked{"it checks work, not the bits of a sealer"}
		}
	}
	pow := envelope.PoW()
	if math.IsInf(pow, 0) {
		return lines.Fields{"pow": "infinite"}, nil
	}
	var nonce [8]byte
	binary.BigEndian.PutUint64(nonce[:], envelope.Nonce)
	return lines.Fields{"pow": pow, "nonce": lines.Hex(nonce[:])}, nil
}

func topicVector(input vector) (lines.Fields, error) {
	if !input.given("name") {
		return nil, notAsked{"it knows no topics of keys"}
	}
	var name string
	if err := json.Unmarshal(input["name"], &name); err != nil {
		return nil, err
	}
	topic := whisper.BytesToTopic(crypto.Keccak256([]byte(name)))
	if input.given("topic") {
		wanted, err := input.bytes("topic")
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(wanted, topic[:]) {
			return nil, errors.New("another topic")
		}
	}
	return lines.Fields{"topic": lines.Hex(topic[:])}, nil
}

// goodStatus is what a go-ethereum node of no requirements says first.
var goodStatus = []byte{0xc1, 0x06}

func statusVector(input vector) (lines.Fields, error) {
	payload, err := input.bytes("payload")
	if err != nil {
		return nil, err
	}
	return lines.Fields{}, converse(message{0, payload})
}

func packetVector(input vector) (lines.Fields, error) {
	payload, err := input.bytes("payload")
	if err != nil {
		return nil, err
	}
	code, err := input.number("code")
	if err != nil {
		return nil, err
	}
	output := lines.Fields{"hash": lines.Hex(crypto.Keccak256(payload))}
	err = converse(message{0, goodStatus}, message{uint64(code), payload})
	// The envelopes of the vectors are long dead, which is found only after all of them were read.
	if err != nil && err.Error() == "invalid envelope" {
		err = nil
	}
	return output, err
}

type message struct {
	code    uint64
	payload []byte
}

// converse says something to a node over a pipe, and returns the error for which it hangs up.
func converse(messages ...message) error {
	ours, theirs := p2p.MsgPipe()
	defer ours.Close()
	node := standalone(whisper.DefaultMaxMessageSize)
	ended := make(chan error, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				ended <- fmt.Errorf("panic: %v", cause)
			}
		}()
		ended <- node.HandlePeer(p2p.NewPeer(enode.ID{1}, "vector", nil), theirs)
		theirs.Close()
	}()
	go func() {
		for {
			heard, err := ours.ReadMsg()
			if err != nil {
				return
			}
			heard.Discard()
		}
	}()
	// A message is taken only when the one before it has been dealt with; codes of nobody are ignored.
	for _, said := range append(messages, message{99, []byte{0xc0}}, message{99, []byte{0xc0}}) {
		err := ours.WriteMsg(p2p.Msg{Code: said.code, Size: uint32(len(said.payload)), Payload: bytes.NewReader(said.payload)})
		if err != nil {
			return <-ended
		}
	}
	select {
	case err := <-ended:
		return err
	default:
		return nil
	}
}
