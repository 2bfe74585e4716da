package server

import (
	"container/list"
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
	away       int                  // peers that may come back, beside them
	awayFrom   map[netip.Prefix]int
	waiting    map[net.Conn]*arrival
	arrived    map[netip.Prefix]int        // of those that wait
	idle       map[netip.Prefix]*list.List // of them, those between two requests; the one idle for longest is in front
}

// arrival is a connection that has not become a WebSocket. It is guarded by the
// mutex of the turnstile.
type arrival struct {
	conn      net.Conn
	since     time.Time
	requested bool // at least once
	network   netip.Prefix
	idle      *list.Element // among the idle ones; nil for one that is not
}

// maxArrivals is how many connections that are no WebSocket yet, or will never
// be, an address may have for each WebSocket: a browser loads a page by so many.
// They stay open when it is loaded, so idle ones give way to others.
const maxArrivals = 6

// place is what a WebSocket takes up.
type place struct {
	turnstile *turnstile
	network   netip.Prefix // of its client; zero if that is not limited
}

type arrivalKey struct{}

func newTurnstile(limits Limits, refusals refusals) *turnstile {
	return &turnstile{
		limits:     limits,
		refusals:   refusals,
		perAddress: make(map[netip.Prefix]int),
		awayFrom:   make(map[netip.Prefix]int),
		waiting:    make(map[net.Conn]*arrival),
		arrived:    make(map[netip.Prefix]int),
		idle:       make(map[netip.Prefix]*list.List),
	}
}

// enter counts a WebSocket until it leaves, or refuses it.
func (t *turnstile) enter(client netip.Addr) (*place, *httpRefusal) {
	network := t.limitedNetwork(client)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.webSockets >= t.limits.MaxConnections:
		return nil, &httpRefusal{http.StatusServiceUnavailable, "too many connections, try again later", RefusedConnections}
	case network.IsValid() && t.perAddress[network] >= t.limits.MaxConnectionsPerAddress:
		return nil, &httpRefusal{http.StatusTooManyRequests, "too many connections from your address", RefusedAddress}
	}
	t.webSockets++
	count(t.perAddress, network, 1)
	return &place{t, network}, nil
}

// inside is how many WebSockets there are.
func (t *turnstile) inside() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.webSockets
}

// leave gives the place of a WebSocket back.
func (p *place) leave() {
	t := p.turnstile
	t.mu.Lock()
	defer t.mu.Unlock()
	t.webSockets--
	count(t.perAddress, p.network, -1)
}

// wait counts a peer that may come back until back is called. There may be as
// many of them as WebSockets, in all and of one address: they hold memory too,
// but must not be in their own way when they return. It gives nil for one more.
func (p *place) wait() (back func()) {
	t := p.turnstile
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away >= t.limits.MaxConnections || p.network.IsValid() && t.awayFrom[p.network] >= t.limits.MaxConnectionsPerAddress {
		return nil
	}
	t.away++
	count(t.awayFrom, p.network, 1)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.away--
		count(t.awayFrom, p.network, -1)
	}
}

// count adds to what a network has, and forgets one that has nothing.
func count(counts map[netip.Prefix]int, network netip.Prefix, n int) {
	if !network.IsValid() {
		return
	}
	counts[network] += n
	if counts[network] == 0 {
		delete(counts, network)
	}
}

// limitedNetwork is networkOf where that is limited.
func (t *turnstile) limitedNetwork(client netip.Addr) netip.Prefix {
	if t.limits.MaxConnectionsPerAddress == 0 {
		return netip.Prefix{}
	}
	return networkOf(client)
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

// watch has the turnstile count the connections of an HTTP server. Those of a
// proxy come from one address, which says nothing.
func (t *turnstile) watch(s *http.Server, proxied bool) {
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		var network netip.Prefix
		if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok && !proxied {
			network = t.limitedNetwork(tcp.AddrPort().Addr().Unmap())
		}
		a, crowdedOut := t.arrive(conn, network)
		if a == nil {
			t.refusals.count(RefusedConnections)
			conn.Close()
		}
		if crowdedOut != nil {
			cut(crowdedOut)
		}
		return context.WithValue(ctx, arrivalKey{}, a)
	}
	s.ConnState = func(conn net.Conn, state http.ConnState) {
		switch state {
		case http.StateIdle:
			t.rest(conn)
		case http.StateActive:
			t.wake(conn)
		case http.StateHijacked, http.StateClosed:
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
// connects must not use up what peers need. An idle one is not: it is crowded out,
// and a browser whose next request meets its end makes that once more.
func (t *turnstile) arrive(conn net.Conn, network netip.Prefix) (a *arrival, crowdedOut net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) >= t.limits.MaxConnections ||
		network.IsValid() && t.arrived[network] >= maxArrivals*t.limits.MaxConnectionsPerAddress {
		idle := t.idle[network]
		if idle == nil {
			return nil, nil
		}
		crowdedOut = idle.Front().Value.(*arrival).conn
		t.forget(t.waiting[crowdedOut])
	}
	a = &arrival{conn: conn, since: time.Now(), network: network}
	t.waiting[conn] = a
	count(t.arrived, network, 1)
	return a, crowdedOut
}

// rest notes that a connection has been answered, and waits for its next request.
func (t *turnstile) rest(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.waiting[conn]
	if a == nil { // crowded out
		return
	}
	t.stir(a)
	if t.idle[a.network] == nil {
		t.idle[a.network] = list.New()
	}
	a.idle = t.idle[a.network].PushBack(a)
}

// wake notes that a connection brings a request.
func (t *turnstile) wake(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.waiting[conn]; a != nil {
		t.stir(a)
	}
}

func (t *turnstile) depart(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.waiting[conn]
	if a == nil {
		return
	}
	t.forget(a)
	if !a.requested && time.Since(a.since) >= t.limits.TimeToHeaders {
		t.refusals.count(RefusedHeaders)
	}
}

func (t *turnstile) forget(a *arrival) {
	t.stir(a)
	delete(t.waiting, a.conn)
	count(t.arrived, a.network, -1)
}

// stir takes an arrival from among the idle ones, if it is there.
func (t *turnstile) stir(a *arrival) {
	if a.idle == nil {
		return
	}
	idle := t.idle[a.network]
	idle.Remove(a.idle)
	a.idle = nil
	if idle.Len() == 0 {
		delete(t.idle, a.network)
	}
}

// cut ends a connection without a farewell, which could take time over TLS.
func cut(conn net.Conn) {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn()
	}
	conn.Close()
}
