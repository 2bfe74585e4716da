package webtest

import (
	"context"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/server"
)

// relay is a relay on the loopback that can go away and come back on its port.
type relay struct {
	t       *testing.T
	config  server.Config
	address string
	query   string // of webSocket
	stop    func() // returns after the relay has ended
}

func startRelay(t *testing.T) *relay {
	t.Helper()
	return startRelayWith(t, server.Config{})
}

func startRelayWith(t *testing.T, config server.Config) *relay {
	t.Helper()
	r := &relay{t: t, config: config, address: "127.0.0.1:0"}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *relay) start() {
	r.t.Helper()
	listener := r.listen()
	r.address = listener.Addr().String()
	s, err := server.New(r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	r.stop = func() {
		cancel()
		if err, running := <-served; running && err != nil {
			r.t.Errorf("relay: %v", err)
		}
		r.stop = func() {}
	}
}

// listen tries for a while: another process may hold the port for a moment
// after a restart.
func (r *relay) listen() net.Listener {
	r.t.Helper()
	for deadline := time.Now().Add(browsertest.Patience); ; {
		listener, err := net.Listen("tcp", r.address)
		if err == nil {
			return listener
		}
		if time.Now().After(deadline) {
			r.t.Fatal(err)
		}
	}
}

// page is the address of a room's page.
func (r *relay) page(room string) string {
	return "http://" + r.address + "/?room=" + url.QueryEscape(room)
}

func (r *relay) webSocket() string {
	return "ws://" + r.address + "/ws" + r.query
}
