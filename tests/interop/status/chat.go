package main

import (
	"context"
	"errors"
	"strings"

	"ferry/interop/lines"

	"github.com/status-im/status-go/eth-node/crypto"
	"github.com/status-im/status-go/eth-node/types"
	"github.com/status-im/status-go/protocol"
	"github.com/status-im/status-go/protocol/protobuf"
)

// chatPage is how many stored messages are read at a time.
const chatPage = 500

func (s *status) ops() map[string]lines.Op {
	return map[string]lines.Op{
		"info":          s.info,
		"add_peer":      s.addPeer,
		"remove_peer":   s.removePeer,
		"peers":         s.peers,
		"public_key":    s.key,
		"join_public":   s.joinPublic,
		"send_public":   s.sendPublic,
		"send_private":  s.sendPrivate,
		"chat_messages": s.chatMessages,
		"mvds_pending":  s.mvdsPending,
		"add_sym_key":   s.addSymKey,
		"catch_direct":  s.catchDirect,
		"request_mail":  s.requestMail,
	}
}

func (s *status) identity() lines.Fields {
	self := s.server.Self()
	return lines.Fields{
		"role":       "statuspeer",
		"enode":      self.URLv4(),
		"node_id":    self.ID().String(),
		"public_key": s.publicKey,
	}
}

func (s *status) info(request lines.Request) (lines.Fields, error) {
	fields := s.identity()
	fields["bloom"] = lines.Hex(s.shh.BloomFilter())
	fields["min_pow"] = s.shh.MinPow()
	fields["envelopes"] = len(s.shh.Envelopes())
	fields["peers"] = s.server.PeerCount()
	return fields, request.Into(&struct{}{})
}

func (s *status) key(request lines.Request) (lines.Fields, error) {
	return lines.Fields{"public_key": s.publicKey}, request.Into(&struct{}{})
}

// open finds a chat or makes it, and listens to it. A chat that is made twice would lose its clock.
func (s *status) open(id string, create func() protocol.Chat) error {
	for _, chat := range s.messenger.Chats() {
		if chat.ID == id {
			return s.messenger.Join(*chat)
		}
	}
	chat := create()
	if err := s.messenger.Join(chat); err != nil {
		return err
	}
	return s.messenger.SaveChat(&chat)
}

func (s *status) openPublic(name string) error {
	return s.open(name, func() protocol.Chat { return protocol.CreatePublicChat(name, s.messenger.Timesource()) })
}

func (s *status) joinPublic(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Name string `json:"name"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	if arg.Name == "" {
		return nil, errors.New("name is missing")
	}
	return lines.Fields{"chat": arg.Name}, s.openPublic(arg.Name)
}

func (s *status) sendPublic(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Name string `json:"name"`
		Text string `json:"text"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	if err := s.openPublic(arg.Name); err != nil {
		return nil, err
	}
	return s.send(arg.Name, arg.Text)
}

func (s *status) sendPrivate(request lines.Request) (lines.Fields, error) {
	var arg struct {
		To   string `json:"to"`
		Text string `json:"text"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	id := "0x" + strings.TrimPrefix(arg.To, "0x")
	bytes, err := types.DecodeHex(id)
	if err != nil {
		return nil, err
	}
	recipient, err := crypto.UnmarshalPubkey(bytes)
	if err != nil {
		return nil, err
	}
	err = s.open(id, func() protocol.Chat {
		return protocol.CreateOneToOneChat(id[:8], recipient, s.messenger.Timesource())
	})
	if err != nil {
		return nil, err
	}
	return s.send(id, arg.Text)
}

func (s *status) send(chat, text string) (lines.Fields, error) {
	message := &protocol.Message{ChatMessage: protobuf.ChatMessage{
		ChatId:      chat,
		Text:        text,
		ContentType: protobuf.ChatMessage_TEXT_PLAIN,
	}}
	response, err := s.messenger.SendChatMessage(context.Background(), message)
	if err != nil {
		return nil, err
	}
	return lines.Fields{"message": response.Messages[0].ID, "chat": chat}, nil
}

// describe names a message as the messenger does: ids and keys are hex with 0x.
func describe(message *protocol.Message) lines.Fields {
	return lines.Fields{
		"id":     message.ID,
		"from":   message.From,
		"chat":   message.LocalChatID,
		"text":   message.Text,
		"public": message.MessageType == protobuf.ChatMessage_PUBLIC_GROUP,
		"clock":  message.Clock,
		"sent":   message.WhisperTimestamp,
	}
}

// chatMessages reads the messenger's own database, newest first.
func (s *status) chatMessages(request lines.Request) (lines.Fields, error) {
	var arg struct {
		Chat string `json:"chat"`
	}
	if err := request.Into(&arg); err != nil {
		return nil, err
	}
	found := []lines.Fields{}
	for cursor := ""; ; {
		page, next, err := s.messenger.MessageByChatID(arg.Chat, cursor, chatPage)
		if err != nil {
			return nil, err
		}
		for _, message := range page {
			fields := describe(message)
			fields["outgoing"] = message.OutgoingStatus
			found = append(found, fields)
		}
		if cursor = next; cursor == "" {
			return lines.Fields{"messages": found}, nil
		}
	}
}

// mvdsPending counts the records that the messenger's MVDS node still has to send or to see acknowledged.
func (s *status) mvdsPending(request lines.Request) (lines.Fields, error) {
	if err := request.Into(&struct{}{}); err != nil {
		return nil, err
	}
	rows, err := s.database.Query("SELECT type, send_count, send_epoch, message_id FROM mvds_states")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	states := []lines.Fields{}
	for rows.Next() {
		var (
			record, count, epoch int64
			id                   []byte
		)
		if err := rows.Scan(&record, &count, &epoch, &id); err != nil {
			return nil, err
		}
		states = append(states, lines.Fields{"type": record, "send_count": count, "send_epoch": epoch, "message": lines.Hex(id)})
	}
	return lines.Fields{"pending": len(states), "states": states}, rows.Err()
}
