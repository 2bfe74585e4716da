// Command gstpeer-server is the signalling relay: it brings WebRTC peers
// together over WebSockets and serves the web page.
package main

import (
	"os"

	"github.com/gstpeer/gstpeer/internal/cli"
)

func main() {
	os.Exit(cli.Main("gstpeer-server", run))
}
