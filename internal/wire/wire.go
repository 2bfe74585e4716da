// Package wire stands between clients and a relay in tests, and breaks in the
// ways in which networks do.
package wire

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// Wire is a TCP proxy that can be cut.
type Wire struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	pairs map[*pair]struct{}
	holds bool
	up    int // bytes from clients that were swallowed
	down  int // the same from the relay
}

// pair is one connection through a wire, from a client to the relay.
type pair struct {
	near, far net.Conn
	dangles   bool // the near end is gone, and the far one has not been told
}

// New makes a wire to a relay, until the test ends, and gives the relay's URL
// through it. Both URLs are of the form ws://host:port.
func New(t *testing.T, relay string) (w *Wire, url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w = &Wire{target: strings.TrimPrefix(relay, "ws://"), listener: listener, pairs: make(map[*pair]struct{})}
	w.running.Go(w.accept)
	t.Cleanup(func() {
		listener.Close()
		w.Cut()
		w.running.Wait()
	})
	return w, "ws://" + listener.Addr().String()
}

func (w *Wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.target)
		if err != nil {
			near.Close()
			continue
		}
		p := &pair{near: near, far: far}
		w.mu.Lock()
		w.pairs[p] = struct{}{}
		w.mu.Unlock()
		w.running.Go(func() { w.pass(p, near, far) })
		w.running.Go(func() { w.pass(p, far, near) })
	}
}

func (w *Wire) pass(p *pair, from, to net.Conn) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			w.ended(p)
			return
		}
		if w.lets(p, from, n) {
			_, _ = to.Write(buffer[:n]) // the other direction notices the end
		}
	}
}

// lets tells whether bytes may pass.
func (w *Wire) lets(p *pair, from net.Conn, n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.holds:
		return !p.dangles
	case from == p.near:
		w.up += n
	default:
		w.down += n
	}
	return false
}

// ended takes the end of one side to the other.
func (w *Wire) ended(p *pair) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !p.dangles {
		p.near.Close()
		p.far.Close()
		delete(w.pairs, p)
	}
}

// Hold has the wire swallow all that comes from now on, until it is cut.
func (w *Wire) Hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds, w.up, w.down = true, 0, 0
}

// Swallowed is how many bytes of each direction came since Hold.
func (w *Wire) Swallowed() (up, down int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up, w.down
}

// Cut breaks all that is connected.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.pairs {
		Reset(p.near)
		Reset(p.far)
	}
	clear(w.pairs)
	w.holds = false
}

// CutNear breaks all that is connected on the clients' side. The relay is not told.
func (w *Wire) CutNear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.pairs {
		p.dangles = true
		Reset(p.near)
	}
}

// Reset ends a connection without a word.
func Reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails if it has ended, which is as well
	}
	conn.Close()
}
