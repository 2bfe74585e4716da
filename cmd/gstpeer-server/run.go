package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/server"
)

// run is the whole program: it serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags, err := parseFlags(args, stdout, stderr)
	if flags == nil || err != nil {
		return err
	}
	relay, err := server.New(server.Config{
		Log:       flags.Logger(stderr),
		Keepalive: flags.Keepalive,
	})
	if err != nil {
		return err
	}
	listener, err := server.Listen(flags.Listen)
	if errors.Is(err, server.ErrAddress) {
		return cli.UsageError{Err: err}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "The page is at %s\n", server.PageURL(listener.Addr()))
	return relay.Serve(ctx, listener)
}
