package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/internal/monitor"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/server/certificate"
	"github.com/gstpeer/gstpeer/server/metrics"
	"github.com/gstpeer/gstpeer/server/token"
)

// commands are what the program does besides serving.
var commands = map[string]cli.Run{
	"health": runHealth,
	"token": func(_ context.Context, args []string, stdout, stderr io.Writer) error {
		return runToken(args, stdout, stderr)
	},
	"version": runVersion,
}

// run is the whole program: it carries out a command, or serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && commands[args[0]] != nil {
		return commands[args[0]](ctx, args[1:], stdout, stderr)
	}
	return usage(runRelay(ctx, args, stdout, stderr))
}

// usage marks the errors that the command line is to blame for.
func usage(err error) error {
	for _, blamed := range []error{server.ErrConfig, server.ErrAddress, certificate.ErrFiles} {
		if errors.Is(err, blamed) {
			return cli.UsageError{Err: err}
		}
	}
	return err
}

func runRelay(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags, err := parseFlags(args, stdout, stderr)
	if flags == nil || err != nil {
		return err
	}
	log := flags.Logger(stderr)
	registry := monitor.NewRegistry()
	measured := metrics.New(registry)
	keys, keySet, err := flags.keys(log)
	if err != nil {
		return cli.UsageError{Err: err}
	}
	relay, err := flags.newRelay(keys, measured, log)
	if err != nil {
		return err
	}
	listener, err := server.Listen(flags.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	source, err := flags.openTLS(stdout, log)
	if err != nil {
		return err
	}
	stopMetrics, err := monitor.Serve(flags.Metrics, monitor.Answers{Metrics: registry, Health: relay.Handler(), Ready: relay.Handler()}, stdout, log)
	if err != nil {
		return err
	}
	defer stopMetrics() // after the relay, whose readiness is asked for while it drains
	all, ctx := errgroup.WithContext(ctx)
	if source != nil {
		listener = tls.NewListener(listener, source.Config())
		all.Go(func() error { return source.Run(ctx) })
	}
	if keySet != nil {
		all.Go(func() error { return keySet.Run(ctx) })
	}
	fmt.Fprintf(stdout, "The page is at %s\n", flags.pageURL(listener.Addr()))
	all.Go(func() error { return relay.Serve(ctx, listener) })
	return all.Wait()
}

// newRelay makes a relay that is measured.
func (f *flags) newRelay(keys *token.Keys, measured *metrics.Metrics, log *slog.Logger) (*server.Server, error) {
	config, err := f.config(keys, log)
	if err != nil {
		return nil, cli.UsageError{Err: err}
	}
	if f.Metrics != "" {
		config.RelayTime = measured.RelayTime
	}
	relay, err := server.New(config)
	if err != nil {
		return nil, err
	}
	measured.Watch(relay)
	if config.Tokens == nil && len(config.ICE.TURN) > 0 {
		log.Warn("anybody gets TURN credentials from this relay: ask for tokens with --auth-secret or --auth-jwks")
	}
	return relay, nil
}
