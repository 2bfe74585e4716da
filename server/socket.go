package server

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// readSize is how much is read from a socket at a time: many small messages, so
// that they cost one call.
const readSize = 16 << 10

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// socket is the connection below a WebSocket. It needs memory for what it reads
// only as long as that is not yet taken, and it can write without waiting. Both
// are possible on the system's own sockets only: over TLS it reads and writes
// like any connection.
type socket struct {
	net.Conn
	user socketUser
	raw  syscall.RawConn // nil without a system's socket

	// Owned by the reader.
	tryRead func(fd uintptr) bool // readNow; made once, for each would be allocated
	buffer  *[readSize]byte       // nil when it holds nothing
	unread  []byte                // a part of buffer
	readErr error

	// Owned by the writer, the one whom the outbox has bound to flush.
	tryWrite func(fd uintptr) bool // as tryRead
	toWrite  []byte
	written  int
	writeErr error
}

// socketUser is told what happens on a socket, by the goroutine that reads it.
type socketUser interface {
	arrived() // something was read
	waits()   // all that was read has been taken, and the next read may wait
}

func newSocket(conn net.Conn) *socket {
	s := &socket{Conn: conn}
	if direct, ok := conn.(syscall.Conn); ok && canCall {
		if raw, err := direct.SyscallConn(); err == nil {
			s.raw = raw
			s.tryRead, s.tryWrite = s.readOnce, s.writeOnce
		}
	}
	return s
}

// Read reads what has come, or waits for something.
func (s *socket) Read(p []byte) (int, error) {
	if len(s.unread) == 0 {
		s.user.waits()
		n, err := s.fill(p)
		if err == nil {
			s.user.arrived()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	n := copy(p, s.unread)
	s.unread = s.unread[n:]
	if len(s.unread) == 0 {
		readBuffers.Put(s.buffer)
		s.buffer = nil
	}
	return n, nil
}

// fill waits for something to read. It takes a buffer when that is there, unless
// it has to use p.
func (s *socket) fill(p []byte) (n int, err error) {
	if s.raw == nil {
		return s.Conn.Read(p)
	}
	if err := s.raw.Read(s.tryRead); err != nil {
		return 0, err
	}
	return 0, s.readErr
}

// writeNow writes as much as the socket takes at once, which may be nothing.
func (s *socket) writeNow(p []byte) (n int, err error) {
	if s.raw == nil {
		return 0, nil
	}
	s.toWrite = p
	if err := s.raw.Write(s.tryWrite); err != nil {
		return 0, err
	}
	s.toWrite = nil
	return s.written, s.writeErr
}

// Write and SetWriteDeadline are what gorilla calls when it answers a violation
// of the protocol by itself. The connection's own writer does that, so as not to
// be interrupted in the middle of a frame.
func (s *socket) Write(p []byte) (int, error) {
	if s.user == nil { // the handshake
		return s.Conn.Write(p)
	}
	return len(p), nil
}

// SetWriteDeadline does nothing once the handshake is over; see Write.
func (s *socket) SetWriteDeadline(t time.Time) error {
	if s.user == nil {
		return s.Conn.SetWriteDeadline(t)
	}
	return nil
}

// hijacker has a WebSocket made on a socket of ours.
type hijacker struct {
	http.ResponseWriter
	socket *socket // once hijacked
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.socket = newSocket(conn)
	return h.socket, buffers, nil
}
