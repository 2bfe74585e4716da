package main

import (
	"fmt"
	"io"
	"time"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/server"
)

// flags are the options of the program, from the command line or from the
// environment.
type flags struct {
	Listen    string        `default:"127.0.0.1:8443" placeholder:"HOST:PORT" help:"Address to serve on; :8443 serves the whole network. Default: ${default}."`
	Keepalive time.Duration `default:"30s" placeholder:"DURATION" help:"Time between pings; a peer that shows no sign of life for two of them is dropped. Default: ${default}."`

	cli.LogFlags `group:"Log"`
}

// parseFlags reads the command line. It returns nil when that asked for help,
// which has then been printed.
func parseFlags(args []string, stdout, stderr io.Writer) (*flags, error) {
	var f flags
	ok, err := cli.Parse(&f, "gstpeer-server", "Signalling relay for WebRTC peers, with a web page for browsers.",
		"GSTPEER_SERVER", args, stdout, stderr)
	if !ok || err != nil {
		return nil, err
	}
	if f.Keepalive <= 0 {
		return nil, cli.UsageError{Err: fmt.Errorf("--keepalive wants more than 0, such as %v, got %v", server.DefaultKeepalive, f.Keepalive)}
	}
	return &f, nil
}
