// Package server is the relay: it registers peers over WebSockets, joins them in
// sessions and rooms, carries their texts without reading them, and serves the
// web page on the same port.
package server

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server/token"
)

// Defaults of Config.
const (
	DefaultKeepalive   = 30 * time.Second
	DefaultResumeGrace = 10 * time.Second
)

// ErrConfig is wrapped by the errors of New.
var ErrConfig = errors.New("server: invalid configuration")

// ErrClosed is wrapped by the error of a Serve that comes after Close.
var ErrClosed = errors.New("server: closed")

// Config is what a Server is made of. The zero value serves.
type Config struct {
	// Log gets one line when a peer registers and one when a connection ends,
	// with the reason and what it has carried. Messages of peers are never
	// logged, nor are tokens and secrets. Without it nothing is.
	Log *slog.Logger

	// Keepalive is the time between pings. A peer without a sign of life for
	// two of them is dropped. 0 means DefaultKeepalive.
	Keepalive time.Duration

	Limits Limits

	// ResumeGrace is how long the place of a peer is kept that asked for it with
	// ?resume= and whose connection broke: it ended without a close frame, or the
	// peer showed no sign of life. 0 means DefaultResumeGrace; less than that,
	// that no place is kept.
	//
	// A peer that comes back with the same uid, secret and role takes its place
	// from whichever connection has it. It gets what was sent to it meanwhile,
	// nothing twice and all in order. What was under way when the connection
	// broke, in either direction, is lost, unless the peer counts as package
	// signalling says. Who wants the uid without the secret gets it if the peer
	// is not back within 2 s.
	ResumeGrace time.Duration

	// Drain is how long Serve takes, at its end, to tell its peers one by one to
	// go, so that they do not come back elsewhere all at once. 0 tells all at once.
	Drain time.Duration

	// AllowedOrigins are the pages that browsers may reach the relay from, each as
	// https://host, https://host:port or https://*.domain, which is all names below
	// the domain, or the same with another scheme. The relay's own page may too where
	// it is loaded by an IP address or as localhost; by another name it has to be among
	// these, since a name may be anybody's that leads here. Without any, all pages may.
	AllowedOrigins []string

	// TrustedProxies are the networks of reverse proxies, whose X-Forwarded-For
	// says where a connection comes from.
	TrustedProxies []netip.Prefix

	// Tokens are the keys to check the tokens with that peers must bring. Without
	// it none is asked for.
	Tokens *token.Keys

	// KeepExpired leaves a peer in place whose token ends. Else it is closed with
	// 1008 "token expired".
	KeepExpired bool

	// RelayTime gets the seconds from the arrival of a message to its writing to
	// another peer, of every 16th message of each peer. Without it none is timed.
	RelayTime Observer

	// ICE is what /api/ice tells peers about reaching one another.
	ICE ICE
}

func (c Config) complete() (Config, error) {
	if c.Keepalive < 0 || c.Drain < 0 {
		return c, fmt.Errorf("%w: Keepalive and Drain want 0 or more, got %v and %v", ErrConfig, c.Keepalive, c.Drain)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Keepalive == 0 {
		c.Keepalive = DefaultKeepalive
	}
	if c.ResumeGrace == 0 {
		c.ResumeGrace = DefaultResumeGrace
	}
	var err error
	if c.Limits, err = c.Limits.complete(); err != nil {
		return c, err
	}
	c.ICE, err = c.ICE.complete()
	return c, err
}

// timeouts are those of the protocol, and those of the relay's own patience.
type timeouts struct {
	takeover time.Duration // for the holder of a uid to answer when another wants it
	closing  time.Duration // from the decision to end a connection to its end
	shutdown time.Duration // the same, when the relay ends
}

var defaultTimeouts = timeouts{
	takeover: 2 * time.Second,
	closing:  10 * time.Second,
	shutdown: 3 * time.Second,
}

// Server is a relay. Create it with New; end it with Close or by the context of
// Serve.
type Server struct {
	config    Config
	timeouts  timeouts
	log       *slog.Logger
	origins   origins
	proxies   proxies
	registry  *registry
	refusals  refusals
	turnstile *turnstile
	reserve   reserve
	upgrader  websocket.Upgrader
	handler   http.Handler

	running sync.WaitGroup // of the conns, and of the requests that become one

	mu       sync.Mutex
	conns    map[*conn]struct{}
	draining bool
	closed   bool
	sent     tally // to those that have gone
}

// New makes a relay that serves nothing yet. Its errors wrap ErrConfig.
func New(config Config) (*Server, error) {
	return newServer(config, defaultTimeouts)
}

func newServer(config Config, t timeouts) (*Server, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	origins, err := parseOrigins(config.AllowedOrigins)
	if err != nil {
		return nil, err
	}
	refusals := newRefusals()
	s := &Server{
		config:    config,
		timeouts:  t,
		log:       config.Log,
		origins:   origins,
		proxies:   config.TrustedProxies,
		registry:  newRegistry(t.closing, config.ResumeGrace, config.Limits, refusals),
		refusals:  refusals,
		turnstile: newTurnstile(config.Limits, refusals),
		upgrader:  newUpgrader(config.Limits.TimeToHeaders),
		reserve:   reserve{limit: int64(config.Limits.QueuedBytesInAll)},
		conns:     make(map[*conn]struct{}),
	}
	s.handler = s.routes()
	return s, nil
}

// Serve answers on the listener until ctx ends, which is no error, or until the
// listener fails. At the end of ctx no more connections are accepted, and the
// peers are told 1001 over Config.Drain, or at once if the listener has failed.
// Each has 3 s to go. Serve returns after the last goroutine has ended.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	httpServer := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: s.config.Limits.TimeToHeaders,
		ReadTimeout:       s.config.Limits.TimeToHeaders,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(serveLog{s.log}, "", 0),
	}
	s.turnstile.watch(httpServer, len(s.config.TrustedProxies) > 0)
	if s.isClosed() {
		listener.Close()
		return fmt.Errorf("%w: cannot serve %s", ErrClosed, listener.Addr())
	}
	served := make(chan error, 1)
	go func() { served <- httpServer.Serve(listener) }()
	select {
	case err := <-served:
		s.Close()
		httpServer.Close()
		return fmt.Errorf("server: listener %s failed: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.stop(context.WithoutCancel(ctx), httpServer)
	<-served
	return nil
}

// stop ends plain HTTP and the peers at the same time.
func (s *Server) stop(ctx context.Context, httpServer *http.Server) {
	peersGone := make(chan struct{})
	go func() {
		defer close(peersGone)
		s.drain()
		s.Close()
	}()
	ctx, cancel := context.WithTimeout(ctx, s.timeouts.shutdown)
	defer cancel()
	if err := httpServer.Shutdown(ctx); err != nil {
		httpServer.Close()
	}
	<-peersGone
}

// Close tells every peer that the relay goes (1001) and returns when all of
// their goroutines have ended, after 3 s at the latest. It may be called
// repeatedly. New peers are refused from then on.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.registry.atomically(func() { // or the end of one would give its partner another reason
		for c := range s.conns {
			s.dismiss(c.out)
		}
	})
	for c := range s.conns {
		s.registry.expire(c.peer)
	}
	s.mu.Unlock()
	s.running.Wait()
	s.registry.flusher.ended.Wait()
}

// dismiss tells a peer that the relay goes.
func (s *Server) dismiss(o *outbox) {
	o.finish(websocket.CloseGoingAway, "relay shuts down", s.timeouts.shutdown)
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// enter reports false when the relay takes no new peers. Else Close waits for
// running.Done, and so for all that is started until then.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.draining {
		return false
	}
	s.running.Add(1)
	return true
}

// start serves a fresh WebSocket, between enter and running.Done, on goroutines
// of its own, so that the request and all that hangs on it can be freed.
func (s *Server) start(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.draining { // since enter
		s.dismiss(c.out)
	}
	s.conns[c] = struct{}{}
	s.running.Go(func() {
		c.run()
		_, _, sent := c.out.depth()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
		s.sent.messages += sent.messages
		s.sent.bytes += sent.bytes
	})
}
