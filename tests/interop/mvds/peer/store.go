package mvdspeer

import (
	"database/sql"
	"sync"

	"github.com/vacp2p/mvds/peers"
	"github.com/vacp2p/mvds/persistenceutil"
	"github.com/vacp2p/mvds/protobuf"
	"github.com/vacp2p/mvds/state"
	"github.com/vacp2p/mvds/store"
)

// Recorder is a message store that remembers the order in which messages came; the library's own cannot list them.
type Recorder struct {
	store.MessageStore
	mutex sync.Mutex
	order []*protobuf.Message
}

// Add implements store.MessageStore. A message that comes twice is listed twice, as often as the node took it.
func (r *Recorder) Add(message *protobuf.Message) error {
	err := r.MessageStore.Add(message)
	if err == nil {
		r.mutex.Lock()
		r.order = append(r.order, message)
		r.mutex.Unlock()
	}
	return err
}

// Messages lists them.
func (r *Recorder) Messages() ([]*protobuf.Message, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return append([]*protobuf.Message(nil), r.order...), nil
}

// Peers guards the library's table of peers, which is a bare map: the driver adds to it while the node reads.
type Peers struct {
	mutex sync.Mutex
	table peers.Persistence
}

// NewPeers wraps a table.
func NewPeers(table peers.Persistence) *Peers { return &Peers{table: table} }

// Add implements peers.Persistence.
func (p *Peers) Add(group state.GroupID, peer state.PeerID) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.table.Add(group, peer)
}

// GetByGroupID implements peers.Persistence.
func (p *Peers) GetByGroupID(group state.GroupID) ([]state.PeerID, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	members, err := p.table.GetByGroupID(group)
	return append([]state.PeerID(nil), members...), err
}

// Exists implements peers.Persistence.
func (p *Peers) Exists(group state.GroupID, peer state.PeerID) (bool, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.table.Exists(group, peer)
}

// OpenSQLite opens the library's own database with all its tables.
func OpenSQLite(path string) (*sql.DB, error) {
	database, err := persistenceutil.Open(path, "interop")
	if err != nil {
		return nil, err
	}
	return database, persistenceutil.Migrate(database)
}

// StoredMessages lists what the SQLite store holds.
func StoredMessages(database *sql.DB) ([]*protobuf.Message, error) {
	rows, err := database.Query("SELECT group_id, timestamp, body FROM mvds_messages ORDER BY rowid")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var messages []*protobuf.Message
	for rows.Next() {
		var message protobuf.Message
		if err := rows.Scan(&message.GroupId, &message.Timestamp, &message.Body); err != nil {
			return nil, err
		}
		messages = append(messages, &message)
	}
	return messages, rows.Err()
}
