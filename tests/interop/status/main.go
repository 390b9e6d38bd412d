// The driver around status-go: what the Status app does with its library, without a screen. The first argument names the role.
package main

import (
	"fmt"
	"os"

	"ferry/interop/lines"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "statuspeer" {
		lines.Fail(fmt.Errorf("usage: %s statuspeer --dir DIR [flags]", os.Args[0]))
	}
	if err := statuspeer(lines.Open(), os.Args[2:]); err != nil {
		lines.Fail(err)
	}
}
