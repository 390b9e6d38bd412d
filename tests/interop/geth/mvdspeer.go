package main

import (
	"ferry/interop/lines"
	"ferry/interop/mvdspeer"

	"github.com/vacp2p/mvds/node"
	"github.com/vacp2p/mvds/peers"
	"github.com/vacp2p/mvds/protobuf"
	"github.com/vacp2p/mvds/state"
	"github.com/vacp2p/mvds/store"
)

func runMvdspeer(port *lines.Port, args []string) error {
	return mvdspeer.Run(port, args, mvdspeer.Library{Dialect: "5000", Build: buildMvds})
}

func buildMvds(parts mvdspeer.Parts) (*mvdspeer.Built, error) {
	mode := node.BATCH
	if parts.Interactive {
		mode = node.INTERACTIVE
	}
	if parts.Path == "" {
		messages := &mvdspeer.Recorder{MessageStore: store.NewDummyStore()}
		states := state.NewSyncState()
		return &mvdspeer.Built{
			Node: node.NewNode(messages, parts.Transport, states, parts.NextEpoch, 0, parts.ID, mode,
				mvdspeer.NewPeers(peers.NewMemoryPersistence()), nil),
			States:   states,
			Messages: messages.Messages,
		}, nil
	}
	database, err := mvdspeer.OpenSQLite(parts.Path)
	if err != nil {
		return nil, err
	}
	persistent, err := node.NewPersistentNode(database, parts.Transport, parts.ID, mode, parts.NextEpoch, nil)
	return &mvdspeer.Built{
		Node:     persistent,
		States:   state.NewPersistentSyncState(database),
		Messages: func() ([]*protobuf.Message, error) { return mvdspeer.StoredMessages(database) },
	}, err
}
