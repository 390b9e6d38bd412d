package mvdspeer

import (
	"errors"

	"ferry/interop/lines"

	"github.com/golang/protobuf/proto"
	"github.com/vacp2p/mvds/protobuf"
)

// message is a Message of the wire in JSON.
type message struct {
	Group     lines.Hex `json:"group"`
	Timestamp int64     `json:"timestamp"`
	Body      lines.Hex `json:"body"`
	Metadata  *Metadata `json:"metadata"`
}

func (p *peer) build(m message) (*protobuf.Message, error) {
	built := &protobuf.Message{GroupId: m.Group, Timestamp: m.Timestamp, Body: m.Body}
	if m.Metadata == nil {
		return built, nil
	}
	if p.library.SetMetadata == nil {
		return nil, errors.New("this dialect has no metadata")
	}
	p.library.SetMetadata(built, *m.Metadata)
	return built, nil
}

func (p *peer) describe(m *protobuf.Message) lines.Fields {
	id := m.ID()
	fields := lines.Fields{"message": lines.Hex(id[:]), "group": lines.Hex(m.GroupId), "timestamp": m.Timestamp, "body": lines.Hex(m.Body)}
	if p.library.Metadata != nil {
		fields["metadata"] = p.library.Metadata(m)
	}
	return fields
}

func (p *peer) describeAll(messages []*protobuf.Message) []lines.Fields {
	all := []lines.Fields{}
	for _, m := range messages {
		all = append(all, p.describe(m))
	}
	return all
}

func (p *peer) messageID(request lines.Request) (lines.Fields, error) {
	var arg message
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	built, err := p.build(arg)
	if err != nil {
		return nil, err
	}
	id := built.ID()
	return lines.Fields{"message": lines.Hex(id[:])}, nil
}

func (p *peer) encode(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Acks     []lines.Hex `json:"acks"`
		Offers   []lines.Hex `json:"offers"`
		Requests []lines.Hex `json:"requests"`
		Messages []message   `json:"messages"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	payload := protobuf.Payload{Acks: raw(arg.Acks), Offers: raw(arg.Offers), Requests: raw(arg.Requests)}
	for _, m := range arg.Messages {
		built, err := p.build(m)
		if err != nil {
			return nil, err
		}
		payload.Messages = append(payload.Messages, built)
	}
	bytes, err := proto.Marshal(&payload)
	return lines.Fields{"bytes": lines.Hex(bytes)}, err
}

func (p *peer) decode(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Bytes lines.Hex `json:"bytes"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	var payload protobuf.Payload
	if err := proto.Unmarshal(arg.Bytes, &payload); err != nil {
		return nil, err
	}
	return lines.Fields{
		"valid":    payload.IsValid(),
		"acks":     Texts(payload.Acks),
		"offers":   Texts(payload.Offers),
		"requests": Texts(payload.Requests),
		"messages": p.describeAll(payload.Messages),
	}, nil
}

func raw(texts []lines.Hex) [][]byte {
	var bytes [][]byte
	for _, text := range texts {
		bytes = append(bytes, text)
	}
	return bytes
}

// Texts are byte strings that print as hex.
func Texts(all [][]byte) []lines.Hex {
	texts := []lines.Hex{}
	for _, bytes := range all {
		texts = append(texts, bytes)
	}
	return texts
}
