package certificate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ErrHTTPListener is wrapped by the error of a Run whose ACME listener failed.
var ErrHTTPListener = errors.New("certificate: ACME's HTTP listener failed")

// ACME says which certificates to order from an authority (RFC 8555). The terms
// of its service are accepted.
type ACME struct {
	Domains   []string // that lead here
	Dir       string   // keeps the account and the certificates
	Email     string   // for the authority to write to; may be empty
	Directory string   // URL of the authority; empty for Let's Encrypt

	// HTTP, if set, answers the authority's question by plain HTTP as well, which
	// must reach it at port 80, and sends everyone else to https. Without it the
	// question is answered on the TLS listener, which must be reached at port 443.
	HTTP net.Listener
	// Client reaches the authority; nil for http.DefaultClient.
	Client *http.Client
	Log    *slog.Logger
}

// Source orders a certificate for a domain with the first connection that asks
// for it, and again before it ends.
func (a ACME) Source() *Source {
	client := &acme.Client{DirectoryURL: a.Directory, HTTPClient: a.Client}
	if client.DirectoryURL == "" {
		client.DirectoryURL = autocert.DefaultACMEDirectory
	}
	manager := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(a.Dir),
		HostPolicy: autocert.HostWhitelist(a.Domains...),
		Email:      a.Email,
		Client:     client,
	}
	config := newConfig(manager.GetCertificate)
	config.NextProtos = append(config.NextProtos, acme.ALPNProto)
	run := idle
	if a.HTTP != nil {
		run = func(ctx context.Context) error { return a.serve(ctx, manager.HTTPHandler(nil)) }
	}
	return &Source{config: config, run: run}
}

func (a ACME) serve(ctx context.Context, handler http.Handler) error {
	server := &http.Server{
		Handler:      handler,
		ReadTimeout:  10 * time.Second,
		WriteTimeout: 10 * time.Second,
		IdleTimeout:  30 * time.Second,
		ErrorLog:     slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug),
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(a.HTTP); ctx.Err() == nil {
		return fmt.Errorf("%w: %s: %w", ErrHTTPListener, a.HTTP.Addr(), err)
	}
	return nil
}
