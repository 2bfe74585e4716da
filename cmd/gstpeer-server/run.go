package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/gstpeer/gstpeer/server"
)

// usageError is an error that is about the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// run is the whole program: it serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags, err := parseFlags(args, stdout, stderr)
	if flags == nil || err != nil {
		return err
	}
	relay, err := server.New(server.Config{
		Log:       newLogger(flags, stderr),
		Keepalive: flags.Keepalive,
	})
	if err != nil {
		return err
	}
	listener, err := server.Listen(flags.Listen)
	if errors.Is(err, server.ErrAddress) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "The page is at %s\n", server.PageURL(listener.Addr()))
	return relay.Serve(ctx, listener)
}

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug,
	"info":  slog.LevelInfo,
	"warn":  slog.LevelWarn,
	"error": slog.LevelError,
}

func newLogger(flags *flags, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: logLevels[flags.LogLevel]}
	if flags.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// report says what went wrong, in one line, and gives the exit code.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "gstpeer-server: %v\n", err)
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}
