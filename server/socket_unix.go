//go:build unix

package server

import (
	"io"
	"net"
	"os"
	"syscall"
)

// canCall tells that sockets can be read and written by system calls.
const canCall = true

// readOnce reads what is there. It reports false when that is nothing, to be
// called again when there is something.
func (s *socket) readOnce(fd uintptr) bool {
	buffer := readBuffers.Get().(*[readSize]byte)
	n, err := uninterrupted(syscall.Read, fd, buffer[:])
	if n > 0 {
		s.buffer, s.unread, s.readErr = buffer, buffer[:n], nil
		return true
	}
	readBuffers.Put(buffer)
	switch {
	case err == syscall.EAGAIN:
		return false
	case err != nil:
		s.readErr = s.failure("read", err)
	default:
		s.readErr = io.EOF
	}
	return true
}

// writeOnce writes what the socket takes. It never waits.
func (s *socket) writeOnce(fd uintptr) bool {
	s.written, s.writeErr = 0, nil
	n, err := uninterrupted(syscall.Write, fd, s.toWrite)
	switch {
	case err == nil:
		s.written = n
	case err != syscall.EAGAIN:
		s.writeErr = s.failure("write", err)
	}
	return true
}

func uninterrupted(call func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		n, err := call(int(fd), p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

func (s *socket) failure(call string, err error) error {
	return &net.OpError{
		Op: call, Net: s.LocalAddr().Network(), Source: s.LocalAddr(), Addr: s.RemoteAddr(),
		Err: os.NewSyscallError(call, err),
	}
}
