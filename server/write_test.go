package server

import (
	"io"
	"net"
	"testing"

	"github.com/gorilla/websocket"
)

// eager takes all that is written to a socket at once, and gives it more to do.
type eager struct {
	socket *socket
	more   func()
	writes int
}

func (e *eager) Control(func(fd uintptr)) error   { return nil }
func (e *eager) Read(func(fd uintptr) bool) error { return io.EOF }
func (e *eager) Write(func(fd uintptr) bool) error {
	e.writes++
	e.socket.written = len(e.socket.toWrite)
	e.more()
	return nil
}

// TestFlushEnds holds that a peer cannot be kept at writing what others queue
// for the one that it has said something to.
func TestFlushEnds(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := &conn{out: newOutbox(10, 1<<20, func() {}), writeEnded: make(chan struct{})}
	c.socket = newSocket(near, nil)
	e := &eager{socket: c.socket}
	e.more = func() {
		if e.writes <= 10*maxOwnBatches {
			c.out.put(textFrame("more"))
		}
	}
	c.socket.raw = e
	c.out.flush = c.flush
	if placed, due := c.out.put(textFrame("first")); !placed || !due {
		t.Fatalf("placed %v, due %v", placed, due)
	}
	c.flush()
	if e.writes != maxOwnBatches {
		t.Errorf("%d batches were written, want %d", e.writes, maxOwnBatches)
	}
	want := appendHeader(nil, textFrame("more"))
	rest := make([]byte, len(want)+len("more")) // is written by a goroutine
	if _, err := io.ReadFull(far, rest); err != nil || string(rest) != string(want)+"more" {
		t.Errorf("the rest is %q, %v", rest, err)
	}
	c.out.finish(websocket.CloseNormalClosure, "", 1<<40)
	closing := make([]byte, 4)
	if _, err := io.ReadFull(far, closing); err != nil {
		t.Errorf("no close frame: %v", err)
	}
	<-c.writeEnded
	c.out.writers.Wait()
	c.out.disarm()
}
