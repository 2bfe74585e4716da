package server

import (
	"encoding/binary"
)

// A history confirms what it holds with a ping after so much of it.
const (
	confirmAfterFrames = 64
	confirmAfterBytes  = 64 << 10
)

// history holds what has been written to a connection, in order, until a pong
// shows that it arrived: what a socket has taken may still be lost with it. It
// is guarded by the mutex of its outbox. A nil history pings and holds nothing.
type history struct {
	maxFrames, maxBytes int

	first  uint64  // how many messages came before frames[0], since the registration
	frames []frame // written, but not confirmed
	bytes  int     // payload bytes in frames
	pinged uint64  // what the last ping asks to confirm
}

// add notes a written message. The oldest are forgotten when there are too many.
func (h *history) add(f frame) {
	h.frames = append(h.frames, f)
	h.bytes += len(f.payload)
	excess := 0
	for bytes := h.bytes; len(h.frames)-excess > h.maxFrames || bytes > h.maxBytes; excess++ {
		bytes -= len(h.frames[excess].payload)
	}
	h.drop(excess)
}

func (h *history) drop(n int) {
	for i := range n {
		h.bytes -= len(h.frames[i].payload)
		h.frames[i] = frame{}
	}
	h.first += uint64(n)
	h.frames = h.frames[n:]
	if len(h.frames) == 0 {
		h.frames = nil
	}
}

func (h *history) written() uint64 { return h.first + uint64(len(h.frames)) }

// due tells whether a ping should confirm what is held; one at a time.
func (h *history) due() bool {
	return h.pinged <= h.first && (len(h.frames) >= confirmAfterFrames || h.bytes >= confirmAfterBytes)
}

// ping gives the payload of a ping that, when it is answered, confirms all that
// has been written so far.
func (h *history) ping() []byte {
	if h == nil {
		return nil
	}
	h.pinged = h.written()
	return binary.BigEndian.AppendUint64(nil, h.pinged)
}

// confirm reads the payload of a pong.
func (h *history) confirm(pong []byte) {
	if h == nil || len(pong) != 8 {
		return // answers nothing that was asked
	}
	if n := binary.BigEndian.Uint64(pong); n > h.first && n <= h.pinged && n <= h.written() {
		h.drop(int(n - h.first))
	}
}

// since gives what a peer lacks that has received so many messages; false when
// that is not known any more.
func (h *history) since(received uint64) ([]frame, bool) {
	if received < h.first || received > h.written() {
		return nil, false
	}
	return h.frames[received-h.first:], true
}
