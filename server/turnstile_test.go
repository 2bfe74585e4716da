package server

import (
	"net"
	"net/netip"
	"testing"
)

// TestPeersAwayAreCounted: peers that may come back are bounded like those that
// are there, and not in their own way.
func TestPeersAwayAreCounted(t *testing.T) {
	limits, err := Limits{MaxConnectionsPerAddress: 2}.complete()
	if err != nil {
		t.Fatal(err)
	}
	turnstile := newTurnstile(limits, newRefusals())
	client := netip.MustParseAddr("192.0.2.1")
	var backs []func()
	for range 2 {
		p, refused := turnstile.enter(client)
		if refused != nil {
			t.Fatal(refused)
		}
		p.leave()
		back := p.wait()
		if back == nil {
			t.Fatal("no peer may be away")
		}
		backs = append(backs, back)
	}
	third, refused := turnstile.enter(client)
	if refused != nil {
		t.Fatalf("peers that are away keep others out: %v", refused)
	}
	third.leave()
	if third.wait() != nil {
		t.Error("a third peer may be away, want two")
	}
	for _, back := range backs {
		back()
	}
	if len(turnstile.perAddress)+len(turnstile.awayFrom)+turnstile.away+turnstile.webSockets != 0 {
		t.Errorf("something is left: %+v", turnstile)
	}
}

// TestArrivalsOfOneAddress: plain HTTP of one address leaves room for others, and
// what is idle for what is not.
func TestArrivalsOfOneAddress(t *testing.T) {
	limits, err := Limits{MaxConnectionsPerAddress: 2}.complete()
	if err != nil {
		t.Fatal(err)
	}
	turnstile := newTurnstile(limits, newRefusals())
	greedy, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	newConn := func() net.Conn {
		conn, _ := net.Pipe()
		return conn
	}
	arrive := func(conn net.Conn, network netip.Prefix, want bool, wantOut net.Conn) {
		t.Helper()
		if a, out := turnstile.arrive(conn, network); (a != nil) != want || out != wantOut {
			t.Errorf("accepted is %t and %v is crowded out, want %t and %v", a != nil, out, want, wantOut)
		}
	}
	conns := make([]net.Conn, maxArrivals*2)
	for i := range conns {
		conns[i] = newConn()
		arrive(conns[i], greedy, true, nil)
	}
	arrive(newConn(), greedy, false, nil)
	otherConn := newConn()
	arrive(otherConn, other, true, nil)
	turnstile.rest(otherConn)
	arrive(newConn(), greedy, false, nil)
	turnstile.depart(conns[0])
	arrive(conns[0], greedy, true, nil)

	for _, i := range []int{3, 1, 2} {
		turnstile.rest(conns[i])
	}
	turnstile.wake(conns[3])
	late := newConn()
	arrive(late, greedy, true, conns[1])
	turnstile.wake(conns[1]) // a request that met its end
	turnstile.rest(conns[1])
	turnstile.depart(conns[1])
	arrive(newConn(), greedy, true, conns[2])
	arrive(newConn(), greedy, false, nil)
	turnstile.rest(late)
	turnstile.depart(late)
	turnstile.depart(otherConn)
	if len(turnstile.idle) != 0 || turnstile.arrived[greedy] != maxArrivals*2-1 || len(turnstile.waiting) != maxArrivals*2-1 {
		t.Errorf("%d idle, %v arrived, %d wait; want all but one of the greedy", len(turnstile.idle), turnstile.arrived, len(turnstile.waiting))
	}
}
