package server

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

type nobody struct{}

func (nobody) arrived() {}
func (nobody) waits()   {}

// tcpPair gives both ends of a connection of the system's.
func tcpPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if far, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, far
}

// TestSocketWritesWithoutWaiting fills a connection that nobody reads.
func TestSocketWritesWithoutWaiting(t *testing.T) {
	near, far := tcpPair(t)
	s := newSocket(near, nobody{})
	sent := 0
	for chunk := make([]byte, 1<<20); ; {
		n, err := s.writeNow(chunk)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		sent += n
	}
	near.Close()
	if got, err := io.Copy(io.Discard, far); err != nil || int(got) != sent {
		t.Errorf("%d bytes came, %v; want the %d that were written", got, err, sent)
	}
	if _, err := s.writeNow([]byte("x")); err == nil {
		t.Error("a closed socket takes more")
	}
}

// TestSocketHoldsNoBuffer looks at what is held by what came and is used up, and
// at the end.
func TestSocketHoldsNoBuffer(t *testing.T) {
	near, far := tcpPair(t)
	s := newSocket(near, nobody{})
	if _, err := far.Write([]byte("text")); err != nil {
		t.Fatal(err)
	}
	for want := "text"; want != ""; want = want[1:] {
		unread, err := s.peek()
		if err != nil || string(unread) != want || s.buffer == nil {
			t.Fatalf("got %q, %v; want %q in a buffer", unread, err, want)
		}
		s.skip(1)
	}
	if s.buffer != nil {
		t.Error("a buffer is held for nothing")
	}
	far.Close()
	if _, err := s.peek(); err != io.EOF || s.buffer != nil {
		t.Errorf("got %v, want the end, and no buffer", err)
	}
	if err := near.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.peek(); err == nil || err == io.EOF {
		t.Errorf("got %v, want a timeout", err)
	}
}

// TestServedSocketsAreDirect holds that nothing is put around the connections of
// the listener that hides the system's calls: all speed would be lost.
func TestServedSocketsAreDirect(t *testing.T) {
	if !canCall {
		t.Skip("this system has no such calls")
	}
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ws.WriteMessage(websocket.TextMessage, []byte("HELLO a")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	for c := range s.conns {
		if c.socket.raw == nil {
			t.Errorf("a %T is not written directly", c.socket.Conn)
		}
	}
	s.mu.Unlock()
	ws.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
