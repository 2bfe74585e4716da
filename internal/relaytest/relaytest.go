// Package relaytest runs relays in tests.
package relaytest

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/gstpeer/gstpeer/server"
)

// Start runs a relay in this process, at an address or at one of a free port,
// until the test ends. It can be stopped before, repeatedly.
func Start(t testing.TB, wanted string) (address *net.TCPAddr, stop func()) {
	t.Helper()
	listener, err := server.Listen(wanted)
	if err != nil {
		t.Fatal(err)
	}
	relay, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- relay.Serve(ctx, listener) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("relay: %v", err)
		}
	})
	t.Cleanup(stop)
	return listener.Addr().(*net.TCPAddr), stop
}
