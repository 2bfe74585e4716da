// Command gstpeer puts a GStreamer source into browsers: it captures, encodes
// once, and sends to every peer of a room.
package main

import (
	"os"

	"github.com/gstpeer/gstpeer/internal/cli"
)

func main() {
	os.Exit(cli.Main("gstpeer", run))
}
