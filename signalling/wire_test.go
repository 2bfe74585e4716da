package signalling_test

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// wire is what connects clients to a relay, and can be cut: a TCP proxy.
type wire struct {
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

// newWire gives a wire to a relay, and the relay's URL through it.
func newWire(t *testing.T, relay string) (w *wire, url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w = &wire{target: strings.TrimPrefix(relay, "ws://"), listener: listener, pairs: make(map[*pair]struct{})}
	w.running.Go(w.accept)
	t.Cleanup(func() {
		listener.Close()
		w.cut()
		w.running.Wait()
	})
	return w, "ws://" + listener.Addr().String()
}

func (w *wire) accept() {
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

func (w *wire) pass(p *pair, from, to net.Conn) {
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
func (w *wire) lets(p *pair, from net.Conn, n int) bool {
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
func (w *wire) ended(p *pair) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !p.dangles {
		p.near.Close()
		p.far.Close()
		delete(w.pairs, p)
	}
}

// hold has the wire swallow all that comes from now on, until it is cut.
func (w *wire) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds, w.up, w.down = true, 0, 0
}

// swallowed is how many bytes of each direction came since hold.
func (w *wire) swallowed() (up, down int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up, w.down
}

// cut breaks all that is connected.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.pairs {
		reset(p.near)
		reset(p.far)
	}
	clear(w.pairs)
	w.holds = false
}

// cutNear breaks all that is connected on the clients' side. The relay is not told.
func (w *wire) cutNear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.pairs {
		p.dangles = true
		reset(p.near)
	}
}

// reset ends a connection without a word.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails if it has ended, which is as well
	}
	conn.Close()
}
