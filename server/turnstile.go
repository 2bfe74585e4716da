package server

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// turnstile counts connections: those that have become a WebSocket, and those
// that have not yet or never will.
type turnstile struct {
	// Static.
	limits   Limits
	refusals refusals

	mu         sync.Mutex
	webSockets int
	perAddress map[netip.Prefix]int // WebSockets
	waiting    map[net.Conn]*arrival
}

// arrival is a connection that has not become a WebSocket. It is guarded by the
// mutex of the turnstile.
type arrival struct {
	since     time.Time
	requested bool // at least once
}

type arrivalKey struct{}

func newTurnstile(limits Limits, refusals refusals) *turnstile {
	return &turnstile{
		limits:     limits,
		refusals:   refusals,
		perAddress: make(map[netip.Prefix]int),
		waiting:    make(map[net.Conn]*arrival),
	}
}

// enter counts a WebSocket until leave is called, or refuses it.
func (t *turnstile) enter(client netip.Addr) (leave func(), refused *httpRefusal) {
	network := networkOf(client)
	limited := t.limits.MaxConnectionsPerAddress > 0 && network.IsValid()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.webSockets >= t.limits.MaxConnections:
		return nil, &httpRefusal{http.StatusServiceUnavailable, "too many connections, try again later", RefusedConnections}
	case limited && t.perAddress[network] >= t.limits.MaxConnectionsPerAddress:
		return nil, &httpRefusal{http.StatusTooManyRequests, "too many connections from your address", RefusedAddress}
	}
	t.webSockets++
	if limited {
		t.perAddress[network]++
	}
	return func() { t.leave(network, limited) }, nil
}

func (t *turnstile) leave(network netip.Prefix, limited bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.webSockets--
	if !limited {
		return
	}
	t.perAddress[network]--
	if t.perAddress[network] == 0 {
		delete(t.perAddress, network)
	}
}

// networkOf is what one client has to itself: an address, or of IPv6 the network
// that providers give to each line (RFC 6177).
func networkOf(client netip.Addr) netip.Prefix {
	bits := 32
	if client.Is6() {
		bits = 64
	}
	network, err := client.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // not TCP
	}
	return network
}

// watch has the turnstile count the connections of an HTTP server.
func (t *turnstile) watch(s *http.Server) {
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		a := t.arrive(conn)
		if a == nil {
			t.refusals.count(RefusedConnections)
			conn.Close()
		}
		return context.WithValue(ctx, arrivalKey{}, a)
	}
	s.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateHijacked || state == http.StateClosed {
			t.depart(conn)
		}
	}
	next := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.request(r.Context())
		next.ServeHTTP(w, r)
	})
}

// request notes that a connection brought a complete request.
func (t *turnstile) request(ctx context.Context) {
	if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok && a != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		a.requested = true
	}
}

// arrive gives nil for a connection that is one too many: a crowd that only
// connects must not use up what peers need.
func (t *turnstile) arrive(conn net.Conn) *arrival {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) >= t.limits.MaxConnections {
		return nil
	}
	a := &arrival{since: time.Now()}
	t.waiting[conn] = a
	return a
}

func (t *turnstile) depart(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.waiting[conn]
	delete(t.waiting, conn)
	if a != nil && !a.requested && time.Since(a.since) >= t.limits.TimeToHeaders {
		t.refusals.count(RefusedHeaders)
	}
}
