// The drivers around go-ethereum's Whisper v6 and the MVDS library of the 5000 dialect. The first argument names the role.
package main

import (
	"fmt"
	"os"

	"ferry/interop/lines"
)

func main() {
	roles := map[string]func(*lines.Port, []string) error{
		"discv4peer": discv4peer,
		"gethpeer":   gethpeer,
		"loadgen":    loadgen,
		"mvdspeer":   runMvdspeer,
		"rpcpeer":    runRpcpeer,
		"vectorpeer": vectorpeer,
	}
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		lines.Fail(fmt.Errorf("usage: %s discv4peer|gethpeer|mvdspeer|rpcpeer|vectorpeer [flags]", os.Args[0]))
	}
	if err := roles[os.Args[1]](lines.Open(), os.Args[2:]); err != nil {
		lines.Fail(err)
	}
}
