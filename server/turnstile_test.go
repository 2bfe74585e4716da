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

// TestArrivalsOfOneAddress: plain HTTP of one address leaves room for others.
func TestArrivalsOfOneAddress(t *testing.T) {
	limits, err := Limits{MaxConnectionsPerAddress: 2}.complete()
	if err != nil {
		t.Fatal(err)
	}
	turnstile := newTurnstile(limits, newRefusals())
	greedy, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	var conns []net.Conn
	for i := range maxArrivals*2 + 1 {
		conn, _ := net.Pipe()
		conns = append(conns, conn)
		if got := turnstile.arrive(conn, greedy) != nil; got != (i < maxArrivals*2) {
			t.Errorf("connection %d: accepted is %t", i, got)
		}
	}
	if conn, _ := net.Pipe(); turnstile.arrive(conn, other) == nil {
		t.Error("another address is kept out")
	}
	turnstile.depart(conns[0])
	if turnstile.arrive(conns[0], greedy) == nil {
		t.Error("who left is still counted")
	}
}
