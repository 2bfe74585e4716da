package server

import (
	"net"
	"sync"
	"syscall"
)

// readSize is how much is read from a socket at a time: many small messages, so
// that they cost one call.
const readSize = 16 << 10

// ownSize is how much is read at a time where the wait for it needs a buffer.
const ownSize = 1 << 10

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
	tryRead func(fd uintptr) bool // readOnce; made once, for each would be allocated
	buffer  *[readSize]byte       // nil when it holds nothing
	own     []byte                // instead of buffer, without a system's socket
	unread  []byte                // a part of either
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

func newSocket(conn net.Conn, user socketUser) *socket {
	s := &socket{Conn: conn, user: user}
	if direct, ok := conn.(syscall.Conn); ok && canCall {
		if raw, err := direct.SyscallConn(); err == nil {
			s.raw = raw
			s.tryRead, s.tryWrite = s.readOnce, s.writeOnce
			return s
		}
	}
	s.own = make([]byte, ownSize)
	return s
}

// peek gives what is read and not yet skipped, at least one byte: when there is
// nothing, it waits.
func (s *socket) peek() ([]byte, error) {
	if len(s.unread) > 0 {
		return s.unread, nil
	}
	s.user.waits()
	if err := s.fill(); err != nil {
		return nil, err
	}
	s.user.arrived()
	return s.unread, nil
}

// skip drops what peek gave, which must not be used any more.
func (s *socket) skip(n int) {
	s.unread = s.unread[n:]
	if len(s.unread) == 0 && s.buffer != nil {
		readBuffers.Put(s.buffer)
		s.buffer = nil
	}
}

func (s *socket) fill() error {
	if s.raw != nil {
		if err := s.raw.Read(s.tryRead); err != nil {
			return err
		}
		return s.readErr
	}
	n, err := s.Conn.Read(s.own)
	s.unread = s.own[:n]
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// discard reads until the connection ends.
func (s *socket) discard() {
	for {
		unread, err := s.peek()
		if err != nil {
			return
		}
		s.skip(len(unread))
	}
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
