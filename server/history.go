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

// add notes a written message. The oldest are forgotten when there are too many;
// what these cost is returned, as by all that forgets.
func (h *history) add(f frame) (forgotten int) {
	h.frames = append(h.frames, f)
	h.bytes += len(f.payload)
	excess := 0
	for bytes := h.bytes; len(h.frames)-excess > h.maxFrames || bytes > h.maxBytes; excess++ {
		bytes -= len(h.frames[excess].payload)
	}
	return h.drop(excess)
}

// forgetSome forgets the oldest messages that cost at least so much, if any.
func (h *history) forgetSome(cost int) (forgotten int) {
	if h == nil {
		return 0
	}
	n := 0
	for left := cost; left > 0 && n < len(h.frames); n++ {
		left -= h.frames[n].cost()
	}
	return h.drop(n)
}

// forget forgets everything.
func (h *history) forget() (forgotten int) {
	if h == nil {
		return 0
	}
	return h.drop(len(h.frames))
}

func (h *history) drop(n int) (forgotten int) {
	for i := range n {
		forgotten += h.frames[i].cost()
		h.bytes -= len(h.frames[i].payload)
		h.frames[i] = frame{}
	}
	h.first += uint64(n)
	h.frames = h.frames[n:]
	if len(h.frames) == 0 {
		h.frames = nil
	}
	return forgotten
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
func (h *history) confirm(pong []byte) (forgotten int) {
	if h == nil || len(pong) != 8 {
		return 0 // answers nothing that was asked
	}
	n := binary.BigEndian.Uint64(pong)
	if n <= h.first || n > h.pinged || n > h.written() {
		return 0
	}
	return h.drop(int(n - h.first))
}

// since gives what a peer lacks that has received so many messages; false when
// that is not known any more.
func (h *history) since(received uint64) ([]frame, bool) {
	if received < h.first || received > h.written() {
		return nil, false
	}
	return h.frames[received-h.first:], true
}
