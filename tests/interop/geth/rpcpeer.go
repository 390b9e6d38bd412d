package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ferry/interop/lines"

	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	whisper "github.com/ethereum/go-ethereum/whisper/whisperv6"
)

// runRpcpeer is a go-ethereum node that local clients reach as they reached `geth --shh`: JSON-RPC over HTTP, WebSocket and a unix socket.
// Everything is asked of it through these; the driver only says where they are.
func runRpcpeer(port *lines.Port, args []string) error {
	flags := flag.NewFlagSet("rpcpeer", flag.ExitOnError)
	dir := flags.String("dir", "", "directory for the unix socket and the node's files")
	modules := flags.String("modules", "admin,net,shh,web3", "what HTTP and WebSocket offer")
	minPow := flags.Float64("min-pow", whisper.DefaultMinimumPoW, "least proof of work that is accepted")
	verbosity := flags.Int("verbosity", int(log.LvlError), "log level on standard error, 0 to 5")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		return fmt.Errorf("rpcpeer needs --dir")
	}
	log.Root().SetHandler(log.LvlFilterHandler(log.Lvl(*verbosity), log.StreamHandler(os.Stderr, log.TerminalFormat(false))))

	offered := strings.Split(*modules, ",")
	stack, err := node.New(&node.Config{
		Name:             "ferry-interop",
		Version:          "1.9.20",
		NoUSB:            true,
		DataDir:          *dir,
		IPCPath:          filepath.Join(*dir, "geth.ipc"),
		HTTPHost:         "127.0.0.1",
		HTTPModules:      offered,
		HTTPVirtualHosts: []string{"localhost"},
		WSHost:           "127.0.0.1",
		WSModules:        offered,
		P2P:              p2p.Config{ListenAddr: "127.0.0.1:0", MaxPeers: 25, NoDiscovery: true},
	})
	if err != nil {
		return err
	}
	config := whisper.DefaultConfig
	config.MinimumAcceptedPOW = *minPow
	if _, err := whisper.New(stack, &config); err != nil {
		return err
	}
	if err := stack.Start(); err != nil {
		return err
	}
	port.Event("ready", lines.Fields{
		"enode": stack.Server().Self().URLv4(),
		"http":  stack.HTTPEndpoint(),
		"ws":    stack.WSEndpoint(),
		"ipc":   stack.IPCEndpoint(),
	})
	err = port.Serve(map[string]lines.Op{})
	if closing := stack.Close(); err == nil {
		err = closing
	}
	return err
}
