package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// errViolation is wrapped by errors about a peer that breaks RFC 6455.
var errViolation = errors.New("server: WebSocket protocol violated")

// errMemory is what ends a peer whose message would take more memory than there is
// for all.
var errMemory = errors.New("server: no memory for a message")

// frameReader reads what a client sends (RFC 6455, section 5) right from what
// the socket has read: gorilla's reader took 14 % of the relay's time to copy it
// twice more. It gives its errors as gorilla does.
type frameReader struct {
	socket  *socket
	pace    *pace                                // what the peer may send
	limit   int                                  // of a message, in bytes
	forget  int                                  // what comes of a message after so many bytes; 0 for nothing
	control func(kind int, payload []byte) error // gets pings and pongs
	memory  func(more int) bool                  // takes some for a long message, or gives it back

	taken  int  // of the memory, for the message that comes
	forgot bool // some of the last message
}

// frameHeader is that of a masked frame.
type frameHeader struct {
	final  bool
	kind   int
	length int
	mask   [4]byte
}

const (
	continuation  = 0 // is the kind of a message's further frames
	frameOverhead = 6 // bytes that a frame costs at least beside its payload
)

// next reads the next message. Its memory counts as the reader's no more: whoever
// keeps it, counts it.
func (r *frameReader) next() (frame, error) {
	f, err := r.message()
	if r.taken > 0 {
		r.memory(-r.taken)
		r.taken = 0
	}
	return f, err
}

func (r *frameReader) message() (frame, error) {
	var f frame
	length := 0
	for begun := false; ; begun = true {
		h, err := r.nextOfMessage(begun)
		switch {
		case err != nil:
			return f, err
		case h.length > r.limit-length:
			return f, websocket.ErrReadLimit
		case !begun:
			f.kind = h.kind
			f.room(h.length)
		}
		if err := r.pace.spendBytes(frameOverhead + h.length); err != nil {
			return f, err
		}
		length += h.length
		if f.payload, err = r.payload(f.payload, h); err != nil || h.final {
			if r.forgot = len(f.payload) < length; r.forgot {
				f.payload = wholeRunes(f.payload)
			}
			return f, err
		}
	}
}

// wholeRunes leaves out a last character that is not all there.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// nextOfMessage reads the header of a message's next frame, and control frames
// before it.
func (r *frameReader) nextOfMessage(begun bool) (frameHeader, error) {
	for {
		h, err := r.header(begun)
		if err != nil || h.kind < websocket.CloseMessage {
			return h, err
		}
		payload, err := r.payload(nil, h)
		switch {
		case err != nil:
			return h, err
		case h.kind == websocket.CloseMessage:
			return h, closeError(payload)
		}
		if err := r.control(h.kind, payload); err != nil {
			return h, err
		}
	}
}

// closeError gives a close frame as the error that it is to the reader.
func closeError(payload []byte) error {
	closed := &websocket.CloseError{Code: websocket.CloseNoStatusReceived}
	if len(payload) > 0 {
		if len(payload) < 2 || !utf8.Valid(payload[2:]) {
			return fmt.Errorf("%w: malformed close frame", errViolation)
		}
		closed.Code, closed.Text = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		if !mayClose(closed.Code) {
			return fmt.Errorf("%w: close code %d", errViolation, closed.Code)
		}
	}
	return closed
}

// mayClose tells which codes a close frame may have (RFC 6455, section 7.4, and
// IANA's registry).
func mayClose(code int) bool {
	return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
}

// header reads the next header; begun tells that a message has begun.
func (r *frameReader) header(begun bool) (frameHeader, error) {
	const (
		final, reserved, opcode = 0x80, 0x70, 0x0f
		masked, shortLength     = 0x80, 0x7f
		length16, length64      = 126, 127
	)
	var buffer [8]byte
	start, err := r.take(buffer[:2])
	if err != nil {
		return frameHeader{}, err
	}
	h := frameHeader{final: start[0]&final != 0, kind: int(start[0] & opcode), length: int(start[1] & shortLength)}
	control := h.kind >= websocket.CloseMessage
	switch {
	case start[0]&reserved != 0:
		return h, fmt.Errorf("%w: reserved bit", errViolation)
	case h.kind > websocket.BinaryMessage && !control || h.kind > websocket.PongMessage:
		return h, fmt.Errorf("%w: opcode %d", errViolation, h.kind)
	case !begun && h.kind == continuation:
		return h, fmt.Errorf("%w: continuation of no message", errViolation)
	case begun && !control && h.kind != continuation:
		return h, fmt.Errorf("%w: a message begins before the end of another one", errViolation)
	case control && (!h.final || h.length > maxControlPayload):
		return h, fmt.Errorf("%w: control frame that is fragmented or too long", errViolation)
	case start[1]&masked == 0:
		return h, fmt.Errorf("%w: no mask", errViolation)
	}
	if h.length >= length16 {
		size := 2
		if h.length == length64 {
			size = 8
		}
		clear(buffer[:])
		if _, err := r.take(buffer[8-size:]); err != nil {
			return h, err
		}
		length := binary.BigEndian.Uint64(buffer[:])
		if length > uint64(r.limit) {
			return h, websocket.ErrReadLimit
		}
		h.length = int(length)
	}
	_, err = r.take(h.mask[:])
	return h, err
}

// take reads all of b and returns it.
func (r *frameReader) take(b []byte) ([]byte, error) {
	for rest := b; len(rest) > 0; {
		unread, err := r.peek()
		if err != nil {
			return b, err
		}
		n := copy(rest, unread)
		r.socket.skip(n)
		rest = rest[n:]
	}
	return b, nil
}

// payload appends the payload of a frame.
func (r *frameReader) payload(b []byte, h frameHeader) ([]byte, error) {
	whole := len(b) + h.length
	if !h.final {
		whole = r.limit
	}
	for have := 0; have < h.length; {
		unread, err := r.peek()
		if err != nil {
			return b, err
		}
		n := min(len(unread), h.length-have)
		kept := n
		if r.forget > 0 {
			kept = min(n, max(0, r.forget-len(b)))
		}
		if len(b)+kept > cap(b) {
			if b, err = r.grow(b, len(b)+kept, whole); err != nil {
				return b, err
			}
		}
		b = append(b, unread[:kept]...)
		unmask(b[len(b)-kept:], h.mask, have)
		r.socket.skip(n)
		have += n
	}
	return b, nil
}

// grow makes room in b for so many bytes, and for twice as many as there were if the
// whole may have them: each growth copies them. What is short needs no leave: many a
// message would have to ask for it.
func (r *frameReader) grow(b []byte, need, whole int) ([]byte, error) {
	size := max(need, min(2*cap(b), whole))
	if size > len(messageBuffer{}) {
		if !r.memory(size - r.taken) {
			return b, errMemory
		}
		r.taken = size
	}
	return append(make([]byte, 0, size), b...), nil
}

func (r *frameReader) peek() ([]byte, error) {
	unread, err := r.socket.peek()
	if err == io.EOF {
		err = &websocket.CloseError{Code: websocket.CloseAbnormalClosure, Text: io.ErrUnexpectedEOF.Error()}
	}
	return unread, err
}

// unmask decodes a part of a payload (RFC 6455, section 5.3), of which so many
// bytes came before.
func unmask(b []byte, mask [4]byte, before int) {
	var key [8]byte
	for i := range key {
		key[i] = mask[(before+i)%len(mask)]
	}
	word := binary.NativeEndian.Uint64(key[:])
	for ; len(b) >= len(key); b = b[len(key):] {
		binary.NativeEndian.PutUint64(b, binary.NativeEndian.Uint64(b)^word)
	}
	for i := range b {
		b[i] ^= key[i]
	}
}
