package main

import (
	"fmt"
	"io"
	"time"

	"github.com/alecthomas/kong"

	"github.com/gstpeer/gstpeer/server"
)

// flags are the options of the program, from the command line or from the
// environment.
type flags struct {
	Listen    string        `default:"127.0.0.1:8443" placeholder:"HOST:PORT" help:"Address to serve on; :8443 serves the whole network. Default: ${default}."`
	Keepalive time.Duration `default:"30s" placeholder:"DURATION" help:"Time between pings; a peer that shows no sign of life for two of them is dropped. Default: ${default}."`
	LogLevel  string        `default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"Least severity to log: ${enum}. Default: ${default}."`
	LogFormat string        `default:"text" enum:"text,json" placeholder:"FORMAT" help:"Form of the log: ${enum}. Default: ${default}."`
}

// parseFlags reads the command line. It returns nil when that asked for help,
// which has then been printed.
func parseFlags(args []string, stdout, stderr io.Writer) (*flags, error) {
	var f flags
	helped := false
	parser, err := kong.New(&f,
		kong.Name("gstpeer-server"),
		kong.Description("Signalling relay for WebRTC peers, with a web page for browsers."),
		kong.DefaultEnvars("GSTPEER_SERVER"),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
	)
	if err != nil {
		return nil, err
	}
	_, err = parser.Parse(args)
	switch {
	case helped:
		return nil, nil
	case err != nil:
		return nil, usageError{fmt.Errorf("%w; see gstpeer-server --help", err)}
	case f.Keepalive <= 0:
		return nil, usageError{fmt.Errorf("--keepalive wants more than 0, such as %v, got %v", server.DefaultKeepalive, f.Keepalive)}
	}
	return &f, nil
}
