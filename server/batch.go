package server

import (
	"encoding/binary"
	"sync"

	"github.com/gorilla/websocket"
)

// A batch copies frames into one buffer, so that one write to the socket takes
// many of them: the call costs far more than the copy. Longer payloads go as
// they are, after the buffer.
const (
	batchSize  = 16 << 10
	copiedSize = 4 << 10

	maxFrameHeader    = 10
	maxControlPayload = 125
)

// batch is what goes to the socket at a time: whole frames in wire format. A
// server does not mask (RFC 6455, section 5.1), so the frames of a message are
// the same for every receiver.
type batch struct {
	encoded [batchSize]byte
	size    int    // of what is encoded
	payload []byte // of the last frame, if that is long
	ends    []int  // where the messages end; control frames are not counted
	last    bool   // it ends with a close frame
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// free gives the batch back.
func (b *batch) free() {
	b.reset()
	batches.Put(b)
}

func (b *batch) reset() {
	b.size, b.payload, b.ends, b.last = 0, nil, b.ends[:0], false
}

// add reports false when there is no place for the frame. An empty batch has
// place for any.
func (b *batch) add(f frame) bool {
	need := maxFrameHeader + len(f.payload)
	if len(f.payload) > copiedSize {
		need = maxFrameHeader
	}
	if b.payload != nil || b.size+need > batchSize {
		return false
	}
	encoded := appendHeader(b.encoded[:b.size], f)
	if len(f.payload) > copiedSize {
		b.payload = f.payload
	} else {
		encoded = append(encoded, f.payload...)
	}
	b.size = len(encoded)
	switch f.kind {
	case websocket.CloseMessage:
		b.last = true
	case websocket.TextMessage, websocket.BinaryMessage:
		b.ends = append(b.ends, b.size+len(b.payload))
	}
	return true
}

func (b *batch) length() int { return b.size + len(b.payload) }

// messages is how many messages are whole in the first so many bytes.
func (b *batch) messages(bytes int) int {
	whole := 0
	for whole < len(b.ends) && b.ends[whole] <= bytes {
		whole++
	}
	return whole
}

// rest gives what is left to write after so many bytes, in the order of writing;
// nothing at the end.
func (b *batch) rest(written int) []byte {
	if written < b.size {
		return b.encoded[written:b.size]
	}
	return b.payload[written-b.size:]
}

// appendHeader begins an unfragmented frame (RFC 6455, section 5.2).
func appendHeader(b []byte, f frame) []byte {
	const (
		final    = 0x80
		length16 = 126
		length64 = 127
	)
	b = append(b, final|byte(f.kind)) // gorilla's kinds are the opcodes
	switch n := len(f.payload); {
	case n <= maxControlPayload:
		return append(b, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, length16), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, length64), uint64(n))
	}
}
