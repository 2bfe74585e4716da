package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/server/token"
)

// flags are the options of the program, from the command line or from the
// environment.
type flags struct {
	Listen         string        `group:"Network" default:"127.0.0.1:8443" placeholder:"HOST:PORT" help:"Address to serve on; :8443 serves the whole network. Default: ${default}."`
	AllowOrigin    []string      `group:"Network" placeholder:"ORIGIN" help:"Page that browsers may use the relay from, beside its own: https://host, https://host:port or https://*.domain. The relay's own page is known by an address, by localhost and by an --acme domain; by another name it wants to be allowed as well. Repeatable. Default: any, as no cookie is ever used."`
	TrustedProxies []network     `group:"Network" placeholder:"CIDR" help:"Addresses and networks of reverse proxies, such as 10.0.0.0/8, whose X-Forwarded-For says where a connection comes from. Default: none."`
	Keepalive      time.Duration `group:"Network" default:"30s" placeholder:"DURATION" help:"Time between pings; a peer that shows no sign of life for two of them is dropped. Default: ${default}."`
	ResumeGrace    time.Duration `group:"Network" default:"10s" placeholder:"DURATION" help:"How long the place of a peer is kept whose connection broke, if it asked for that; 0 keeps none. Default: ${default}."`
	Drain          time.Duration `group:"Network" default:"0s" placeholder:"DURATION" help:"How long to take, after SIGTERM, to tell the peers one by one to go, so that they do not come back all at once elsewhere. Recommended with hundreds of peers: 10s. Default: ${default}, all at once."`

	cli.TLSFlags `group:"TLS"`
	acmeFlags    `group:"TLS"`
	authFlags    `group:"Tokens, wanted of every peer with --auth-secret or --auth-jwks; see also gstpeer-server token --help"`
	iceFlags     `group:"ICE servers for the peers, told by /api/ice"`
	limitFlags   `group:"Limits"`
	Metrics      string `group:"Metrics" placeholder:"HOST:PORT" help:"Address to serve /metrics on, for Prometheus, with /health and /ready. It is for the operator alone: choose one that peers do not reach, such as 127.0.0.1:9092. Default: none."`
	cli.LogFlags `group:"Log"`
}

// parseFlags reads the command line. It returns nil when that asked for help,
// which has then been printed.
func parseFlags(args []string, stdout, stderr io.Writer) (*flags, error) {
	var f flags
	ok, err := cli.Parse(&f, "gstpeer-server", "Signalling relay for WebRTC peers, with a web page for browsers. gstpeer-server token makes tokens for it.",
		"GSTPEER_SERVER", args, stdout, stderr)
	if !ok || err != nil {
		return nil, err
	}
	if err := errors.Join(f.check(), f.Check(), f.acmeFlags.check(&f.TLSFlags), f.limitFlags.check()); err != nil {
		return nil, cli.UsageError{Err: err}
	}
	return &f, nil
}

func (f *flags) check() error {
	switch {
	case f.Keepalive <= 0:
		return fmt.Errorf("--keepalive wants more than 0, such as %v, got %v", server.DefaultKeepalive, f.Keepalive)
	case f.ResumeGrace < 0:
		return fmt.Errorf("--resume-grace wants 0 or more, such as %v, got %v", server.DefaultResumeGrace, f.ResumeGrace)
	case f.Drain < 0:
		return fmt.Errorf("--drain wants 0 or more, such as 10s, got %v", f.Drain)
	}
	for _, origin := range f.AllowOrigin {
		if err := server.CheckOrigin(origin); err != nil {
			return fmt.Errorf("--allow-origin: %w", err)
		}
	}
	return nil
}

// config is what the flags mean for the relay.
func (f *flags) config(keys *token.Keys, log *slog.Logger) (server.Config, error) {
	ice, err := f.ice()
	if err != nil {
		return server.Config{}, err
	}
	grace := f.ResumeGrace
	if grace == 0 {
		grace = -1 // to the server, 0 is the default
	}
	return server.Config{
		Log:            log,
		Keepalive:      f.Keepalive,
		ResumeGrace:    grace,
		Drain:          f.Drain,
		AllowedOrigins: f.allowedOrigins(),
		TrustedProxies: f.trustedProxies(),
		Tokens:         keys,
		KeepExpired:    f.AuthKeepExpired,
		ICE:            ice,
		Limits:         f.limits(),
	}, nil
}

// network is one of addresses, or a single address.
type network struct{ netip.Prefix }

func (n *network) UnmarshalText(text []byte) error {
	var err error
	if n.Prefix, err = netip.ParsePrefix(string(text)); err == nil {
		return nil
	}
	address, err := netip.ParseAddr(string(text))
	if err != nil {
		return fmt.Errorf("want an address or a network, such as 10.0.0.0/8, got %q", text)
	}
	address = address.Unmap()
	n.Prefix = netip.PrefixFrom(address, address.BitLen())
	return nil
}

func (f *flags) trustedProxies() []netip.Prefix {
	var trusted []netip.Prefix
	for _, n := range f.TrustedProxies {
		trusted = append(trusted, n.Prefix)
	}
	return trusted
}

// allowedOrigins are those of the flag, if there are any, and the relay's own
// ones, as far as they are known.
func (f *flags) allowedOrigins() []string {
	allowed := f.AllowOrigin
	if len(allowed) == 0 {
		return nil
	}
	for _, domain := range f.ACME {
		allowed = append(allowed, "https://"+domain)
		if _, port, err := net.SplitHostPort(f.Listen); err == nil && port != "443" {
			allowed = append(allowed, "https://"+net.JoinHostPort(domain, port))
		}
	}
	return allowed
}
