// The driver around the MVDS library of the compact dialect. The first argument names the role.
package main

import (
	"fmt"
	"os"

	"ferry/interop/lines"
	"ferry/interop/mvdspeer"

	"github.com/vacp2p/mvds/dependency"
	"github.com/vacp2p/mvds/node"
	"github.com/vacp2p/mvds/peers"
	"github.com/vacp2p/mvds/protobuf"
	"github.com/vacp2p/mvds/state"
	"github.com/vacp2p/mvds/store"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "mvdspeer" {
		lines.Fail(fmt.Errorf("usage: %s mvdspeer --peer-id HEX [flags]", os.Args[0]))
	}
	library := mvdspeer.Library{Dialect: "compact", Build: build, SetMetadata: setMetadata, Metadata: metadata}
	if err := mvdspeer.Run(lines.Open(), os.Args[2:], library); err != nil {
		lines.Fail(err)
	}
}

func build(parts mvdspeer.Parts) (*mvdspeer.Built, error) {
	mode := node.BatchMode
	if parts.Interactive {
		mode = node.InteractiveMode
	}
	if parts.Path == "" {
		messages := &mvdspeer.Recorder{MessageStore: store.NewMemoryMessageStore()}
		states := state.NewMemorySyncState()
		return &mvdspeer.Built{
			Node: node.NewNode(messages, parts.Transport, states, parts.NextEpoch, 0, parts.ID, mode,
				mvdspeer.NewPeers(peers.NewMemoryPersistence()), dependency.NewInMemoryTracker(), node.EventualMode, nil),
			States:   states,
			Messages: messages.Messages,
		}, nil
	}
	database, err := mvdspeer.OpenSQLite(parts.Path)
	if err != nil {
		return nil, err
	}
	persistent, err := node.NewPersistentNode(database, parts.Transport, parts.ID, mode, node.EventualMode, parts.NextEpoch, nil)
	return &mvdspeer.Built{
		Node:     persistent,
		States:   state.NewPersistentSyncState(database),
		Messages: func() ([]*protobuf.Message, error) { return mvdspeer.StoredMessages(database) },
	}, err
}

func setMetadata(message *protobuf.Message, metadata mvdspeer.Metadata) {
	message.Metadata = &protobuf.Metadata{Ephemeral: metadata.Ephemeral}
	for _, parent := range metadata.Parents {
		message.Metadata.Parents = append(message.Metadata.Parents, parent)
	}
}

func metadata(message *protobuf.Message) *mvdspeer.Metadata {
	if message.Metadata == nil {
		return nil
	}
	return &mvdspeer.Metadata{Parents: mvdspeer.Texts(message.Metadata.Parents), Ephemeral: message.Metadata.Ephemeral}
}
