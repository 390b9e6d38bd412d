package main

import (
	"crypto/ecdsa"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ferry/interop/lines"

	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/p2p"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	gethbridge "github.com/status-im/status-go/eth-node/bridge/geth"
	"github.com/status-im/status-go/eth-node/crypto"
	"github.com/status-im/status-go/eth-node/types"
	"github.com/status-im/status-go/protocol"
	"github.com/status-im/status-go/protocol/sqlite"
	"github.com/status-im/status-go/protocol/transport"
	"github.com/status-im/status-go/whisper/v6"
)

const (
	// minimumPow is what the app's node of that time accepts.
	minimumPow = 0.001
	// maxAttempts is how often the app posts an envelope that no peer took.
	maxAttempts = 6
	// databaseKey is the passphrase of a throw-away database.
	databaseKey = "interop"
)

// status is one Status client: a node with Whisper and a messenger on its own database.
type status struct {
	port      *lines.Port
	server    *p2p.Server
	shh       *whisper.Whisper
	limiter   *whisper.PeerRateLimiter
	database  *sql.DB
	messenger *protocol.Messenger
	publicKey string
	logger    *zap.Logger
	nodeKey   *ecdsa.PrivateKey
	stop      chan struct{}
	stopped   chan struct{}
}

func statuspeer(port *lines.Port, args []string) error {
	flags := flag.NewFlagSet("statuspeer", flag.ExitOnError)
	dir := flags.String("dir", "", "directory of the database and the keys; a second start on it is the same client")
	bloom := flags.String("bloom", "growing", "growing: start with an empty bloom filter, as the app does; full: take everything")
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on; empty: dial only")
	retrieve := flags.Duration("retrieve", 200*time.Millisecond, "how often received messages are collected")
	rateLimit := flags.Int64("rate-limit", 0, "packets per second that one peer may send; 0: no limit")
	rateTolerance := flags.Int64("rate-tolerance", 1, "packets above the limit after which a peer is dropped")
	verbosity := flags.Int("verbosity", int(log.LvlWarn), "log level on standard error, 0 to 5")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("--dir is missing")
	}
	logger, err := logTo(*verbosity)
	if err != nil {
		return err
	}
	s := &status{port: port, logger: logger, stop: make(chan struct{}), stopped: make(chan struct{})}
	if *rateLimit > 0 {
		s.limiter = whisper.NewPeerRateLimiter(&whisper.PeerRateLimiterConfig{LimitPerSecPeerID: *rateLimit},
			&whisper.DropPeerRateLimiterHandler{Tolerance: *rateTolerance})
	}
	if err := s.startNode(*dir, *bloom, *listen); err != nil {
		return err
	}
	if err := s.startMessenger(*dir); err != nil {
		return err
	}
	port.Event("ready", s.identity())
	go s.retrieve(*retrieve)
	err = port.Serve(s.ops())
	s.close()
	return err
}

func logTo(verbosity int) (*zap.Logger, error) {
	log.Root().SetHandler(log.LvlFilterHandler(log.Lvl(verbosity), log.StreamHandler(os.Stderr, log.TerminalFormat(false))))
	config := zap.NewDevelopmentConfig()
	config.DisableStacktrace = true
	// go-ethereum counts up to more detail, zap down.
	config.Level = zap.NewAtomicLevelAt(zapcore.Level(int(log.LvlInfo) - verbosity))
	return config.Build()
}

func (s *status) startNode(dir, bloom, listen string) error {
	if err := os.MkdirAll(dir, 0700); err != nil {
		return err
	}
	nodeKey, err := loadKey(filepath.Join(dir, "node.key"))
	if err != nil {
		return err
	}
	s.nodeKey = nodeKey
	s.shh = whisper.New(&whisper.Config{MaxMessageSize: whisper.DefaultMaxMessageSize, MinimumAcceptedPOW: minimumPow})
	if s.limiter != nil {
		s.shh.SetRateLimiter(s.limiter)
	}
	switch bloom {
	case "growing":
		if err := s.shh.SetBloomFilter(make([]byte, whisper.BloomFilterSize)); err != nil {
			return err
		}
	case "full":
	default:
		return fmt.Errorf("--bloom: want growing or full, got %q", bloom)
	}
	s.server = &p2p.Server{Config: p2p.Config{
		PrivateKey:  nodeKey,
		Name:        "ferry-interop-status",
		MaxPeers:    25,
		NoDiscovery: true,
		ListenAddr:  listen,
		Protocols:   s.shh.Protocols(),
	}}
	if err := s.server.Start(); err != nil {
		return err
	}
	events := make(chan *p2p.PeerEvent, 64)
	subscription := s.server.SubscribeEvents(events)
	go s.watchPeers(events, subscription.Err())
	go s.watchMail()
	return s.shh.Start(s.server)
}

func (s *status) startMessenger(dir string) error {
	identity, err := loadKey(filepath.Join(dir, "identity.key"))
	if err != nil {
		return err
	}
	installation, err := loadInstallation(filepath.Join(dir, "installation"))
	if err != nil {
		return err
	}
	if s.database, err = sqlite.Open(filepath.Join(dir, "messenger.db"), databaseKey); err != nil {
		return err
	}
	s.publicKey = types.EncodeHex(crypto.FromECDSAPub(&identity.PublicKey))
	s.messenger, err = protocol.NewMessenger(
		identity,
		&bridge{server: s.server, shh: gethbridge.NewGethWhisperWrapper(s.shh)},
		installation,
		protocol.WithCustomLogger(s.logger),
		protocol.WithDatabase(s.database),
		protocol.WithMessagesPersistenceEnabled(),
		protocol.WithDatasync(),
		protocol.WithEnvelopesMonitorConfig(&transport.EnvelopesMonitorConfig{
			EnvelopeEventsHandler: envelopeEvents{s.port},
			MaxAttempts:           maxAttempts,
			IsMailserver:          func(types.EnodeID) bool { return false },
			Logger:                s.logger,
		}),
	)
	if err != nil {
		return err
	}
	if err := s.messenger.Init(); err != nil {
		return err
	}
	return s.messenger.Start()
}

// close stops collecting first, so that nothing is taken from Whisper that nobody will read.
func (s *status) close() {
	close(s.stop)
	<-s.stopped
	s.server.Stop()
	if err := s.messenger.Shutdown(); err != nil {
		s.logger.Debug("the messenger closes its database before it has finished with it", zap.Error(err))
	}
	if err := s.shh.Stop(); err != nil {
		s.logger.Warn("stopping whisper", zap.Error(err))
	}
}

// retrieve reports every chat message that the messenger returns, as often as it returns it.
func (s *status) retrieve(every time.Duration) {
	defer close(s.stopped)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
		response, err := s.messenger.RetrieveAll()
		if err != nil {
			s.logger.Error("retrieving messages", zap.Error(err))
			continue
		}
		for _, message := range response.Messages {
			s.port.Event("message", describe(message))
		}
	}
}
