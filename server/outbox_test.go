package server

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// drain takes all that is to be written, the close frame at most once.
func drain(o *outbox) []string {
	var got []string
	var b batch
	for o.next(&b) {
		wire := append(bytes.Clone(b.rest(0)), b.payload...)
		for len(wire) > 0 {
			var f frame
			f, wire = cutFrame(wire)
			got = append(got, describe(f))
		}
		o.written(len(b.ends))
		if b.last {
			break
		}
	}
	return got
}

// cutFrame takes the first frame of what a server writes.
func cutFrame(wire []byte) (f frame, rest []byte) {
	length, header := int(wire[1]), 2
	switch length {
	case 126:
		length, header = int(binary.BigEndian.Uint16(wire[2:])), 4
	case 127:
		length, header = int(binary.BigEndian.Uint64(wire[2:])), 10
	}
	return frame{kind: int(wire[0] &^ 0x80), payload: wire[header : header+length]}, wire[header+length:]
}

func describe(f frame) string {
	switch f.kind {
	case websocket.CloseMessage:
		return "close " + string(f.payload[2:])
	case websocket.PingMessage:
		return "ping"
	case websocket.PongMessage:
		return "pong " + string(f.payload)
	}
	return string(f.payload)
}

func TestOutboxOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(10, 100, func() {})
		defer o.disarm()
		for _, text := range []string{"one", "two"} {
			if !o.send(textFrame(text)) {
				t.Fatal("no place in an empty outbox")
			}
		}
		o.ping()
		o.ping()
		o.answerPing("old")
		o.answerPing("new")
		o.finish(websocket.CloseNormalClosure, "bye", time.Second)
		o.finish(websocket.CloseGoingAway, "too late", time.Second)
		o.send(textFrame("lost"))
		assertEqual(t, drain(o), "pong new", "ping", "one", "two", "close bye")
	})
}

func assertEqual(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestOutboxBounds(t *testing.T) {
	o := newOutbox(3, 10, nil)
	if !o.send(frame{kind: websocket.TextMessage, payload: make([]byte, 11)}) {
		t.Error("an empty outbox refuses a message")
	}
	if o.send(textFrame("x")) {
		t.Error("an outbox with too many bytes takes another")
	}
	drain(o)
	for range 3 {
		if !o.send(textFrame("x")) {
			t.Error("an outbox with place refuses a message")
		}
	}
	if o.send(textFrame("x")) {
		t.Error("an outbox with 3 of 3 messages takes another")
	}
	if got := drain(o); len(got) != 3 {
		t.Errorf("got %q, want 3 messages", got)
	}
	if !o.send(frame{kind: websocket.TextMessage, payload: bytes.Repeat([]byte("x"), 10)}) || o.bytes != 10 {
		t.Errorf("%d bytes counted, want 10", o.bytes)
	}
}

// TestOutboxUsesSlotsAgain: a queue that is never quite empty takes no more memory
// than it needs, however long.
func TestOutboxUsesSlotsAgain(t *testing.T) {
	for _, waiting := range []int{1, 3, 100} {
		o := newOutbox(1000, 1<<20, nil)
		sent, read := 0, 0
		send := func() {
			if !o.send(textFrame(strconv.Itoa(sent))) {
				t.Fatal("no place")
			}
			sent++
		}
		for range waiting {
			send()
		}
		for range 100_000 {
			send()
			if got := string(o.frames[o.head].payload); got != strconv.Itoa(read) {
				t.Fatalf("got message %s, want %d", got, read)
			}
			write(o, 1)
			read++
		}
		if most := 4 * (waiting + 1); cap(o.frames) > most {
			t.Errorf("%d slots for %d messages that wait, want at most %d", cap(o.frames), waiting, most)
		}
		if got := drain(o); len(got) != waiting || o.held != 0 {
			t.Errorf("%d messages and %d bytes are left, want %d and 0", len(got), o.held, waiting)
		}
	}
}

func newResumableOutbox() *outbox {
	o := newOutbox(4, 100, func() {})
	o.history = &history{maxFrames: 4, maxBytes: 100}
	return o
}

func TestOutboxKeep(t *testing.T) {
	for _, c := range []struct {
		resumption resumption
		want       []string
	}{
		{resumption{}, []string{"HELLO", "two", "three", "four"}},
		{resumption{counts: true, received: 1}, []string{"HELLO", "two", "three", "four"}},
		{resumption{counts: true, received: 0}, []string{"HELLO", "one", "two", "three", "four"}},
		{resumption{counts: true, received: 2}, nil}, // more than was written
	} {
		o := newResumableOutbox()
		o.greet(textFrame("HELLO"), backlog{})
		for _, text := range []string{"one", "two", "three"} {
			o.send(textFrame(text))
		}
		o.next(new(batch)) // all are being written
		settled := o.keep(websocket.CloseGoingAway, "gone", time.Minute)
		select {
		case <-settled:
			t.Error("settled while messages are being written")
		default:
		}
		o.written(2) // and then it failed
		<-settled
		assertEqual(t, drain(o), "close gone")
		o.send(textFrame("four"))
		o.abandon(websocket.CloseNormalClosure, "", time.Minute) // an end that comes late
		lacking, ok := o.take(&c.resumption)
		o.disarm()
		if ok != (c.want != nil) {
			t.Errorf("%+v: %d messages, %v", c.resumption, len(lacking.frames), ok)
		}
		if !ok {
			continue
		}
		successor := newResumableOutbox() // is itself succeeded before anything is written
		successor.greet(textFrame("HELLO"), lacking)
		<-successor.keep(websocket.CloseGoingAway, "", time.Minute)
		lacking, _ = successor.take(&c.resumption)
		successor.disarm()
		last := newResumableOutbox()
		last.greet(textFrame("HELLO"), lacking)
		assertEqual(t, drain(last), c.want...)
		if last.bytes != 0 || last.history.written() != 4 {
			t.Errorf("%d bytes are queued, %d messages were written; want 0 and 4", last.bytes, last.history.written())
		}
	}
}

// write writes so many messages, which may get lost.
func write(o *outbox, n int) {
	for range n {
		o.mu.Lock()
		o.writing = 1
		o.mu.Unlock()
		o.written(1)
	}
}

// TestOutboxOwes lets a peer come back that lacks as much as is remembered while
// as much waits as may: it must not be taken for one that does not read, and
// however often it breaks off it must not cost more than this.
func TestOutboxOwes(t *testing.T) {
	const limit = 4
	common := &reserve{limit: 1 << 20}
	o := newResumableOutbox()
	o.reserve = common
	o.greet(textFrame("HELLO"), backlog{})
	write(o, 1)
	sent := 0
	fill := func() {
		for o.send(textFrame(strings.Repeat("x", 20<<10))) {
			sent++
		}
	}
	o.maxBytes, o.history.maxBytes = 1<<20, 1<<20
	fill()
	write(o, limit)
	fill()
	for i := range 5 {
		<-o.keep(websocket.CloseGoingAway, "", time.Minute)
		received := uint64(sent - 2*limit)
		lacking, ok := o.take(&resumption{counts: true, received: received})
		o.disarm()
		if !ok || len(lacking.frames) != 2*limit || lacking.owed.frames != limit {
			t.Fatalf("return %d: %d messages, %d of them owed, %v; want %d and %d", i, len(lacking.frames), lacking.owed.frames, ok, 2*limit, limit)
		}
		if common.used.Load() != 0 {
			t.Errorf("return %d: %d bytes of the reserve stay in use by a connection that is gone", i, common.used.Load())
		}
		o = newResumableOutbox()
		o.maxBytes, o.history.maxBytes, o.reserve = 1<<20, 1<<20, common
		o.greet(textFrame("HELLO"), lacking)
		if o.send(textFrame("one too many")) {
			t.Errorf("return %d: more than the queue's limit waits", i)
		}
		wantHeld(t, o)
		write(o, 1+i%limit) // HELLO, and a part of what is owed
	}
	write(o, len(o.frames)-o.head)
	fill()
	if sent != 3*limit {
		t.Errorf("%d messages found a place, want %d: a debt that is paid does not count", sent, 3*limit)
	}
	o.empty()
	wantHeld(t, o)
	if o.held != 0 {
		t.Errorf("%d bytes are held by an empty outbox", o.held)
	}
}

// wantHeld holds an outbox to its account of what it holds, and the reserve to
// it as its only user.
func wantHeld(t *testing.T, o *outbox) {
	t.Helper()
	held := 0
	for _, f := range slices.Concat(o.frames[o.head:], o.history.frames) {
		held += f.cost()
	}
	if o.held != held {
		t.Errorf("counts %d bytes as held, want %d", o.held, held)
	}
	if used := o.reserve.used.Load(); used != int64(max(0, held-ownShare)) {
		t.Errorf("%d bytes of the reserve are in use, want %d", used, max(0, held-ownShare))
	}
}

// TestReserve uses up what all may hold together.
func TestReserve(t *testing.T) {
	common := &reserve{limit: 100 << 10}
	chunk := frame{kind: websocket.BinaryMessage, payload: make([]byte, 10<<10)}
	newOne := func() *outbox {
		o := newOutbox(1000, 1<<20, func() {})
		o.history = &history{maxFrames: 1000, maxBytes: 1 << 20}
		o.reserve = common
		return o
	}
	greedy, modest, other := newOne(), newOne(), newOne()
	placed := 0
	for greedy.send(chunk) {
		placed++
	}
	if want := (ownShare + 100<<10) / chunk.cost(); placed != want {
		t.Errorf("%d chunks found a place, want %d", placed, want)
	}
	for placed = 0; modest.send(chunk); placed++ {
	}
	if placed != ownShare/chunk.cost() {
		t.Errorf("%d chunks of another peer found a place, want as many as are in its share, %d", placed, ownShare/chunk.cost())
	}
	huge := frame{kind: websocket.BinaryMessage, payload: make([]byte, 100<<10)}
	if !other.send(huge) {
		t.Error("a single message found no place in an empty queue")
	}
	write(other, 1)
	if other.history.written() != 1 || len(other.history.frames) != 0 {
		t.Error("more is remembered than there is memory for")
	}
	another := newOne()
	if another.send(frame{kind: websocket.BinaryMessage, payload: make([]byte, 200<<10)}) {
		t.Error("there is no end to what empty queues take")
	}
	for _, o := range []*outbox{greedy, modest, other, another} {
		o.empty()
	}
	if used := common.used.Load(); used != 0 {
		t.Errorf("%d bytes are in use by nobody", used)
	}
}

// TestHistoryGivesWay: what is remembered of one peer must not cost another one,
// nor itself, a place.
func TestHistoryGivesWay(t *testing.T) {
	common := &reserve{limit: 200 << 10}
	chunk := frame{kind: websocket.BinaryMessage, payload: make([]byte, 10<<10)}
	idle, busy := newOutbox(1000, 1<<20, func() {}), newOutbox(1000, 1<<20, func() {})
	for _, o := range []*outbox{idle, busy} {
		o.history = &history{maxFrames: 1000, maxBytes: 1 << 20}
		o.reserve = common
	}
	for range 15 {
		if !idle.send(chunk) {
			t.Fatal("refused though there is plenty")
		}
		write(idle, 1)
	}
	for range 100 { // more than all may hold, but nothing of it waits for long
		if first := busy.send(chunk); !first || !busy.send(chunk) {
			t.Fatal("refused though what was written could be forgotten")
		}
		write(busy, 2)
	}
	for range 10 { // waits in earnest
		busy.send(chunk)
	}
	if idle.drawn() == 0 {
		t.Fatal("the idle peer holds nothing beyond its share")
	}
	idle.ping()
	if idle.drawn() != 0 {
		t.Error("the idle peer still draws on a reserve that runs short")
	}
}

func TestHistoryForgets(t *testing.T) {
	h := &history{maxFrames: 100, maxBytes: 1 << 20}
	for range 150 {
		h.add(textFrame("1234567890"))
	}
	if _, ok := h.since(49); ok {
		t.Error("remembers what it forgot")
	}
	if lacking, ok := h.since(50); !ok || len(lacking) != 100 || h.bytes != 1000 {
		t.Errorf("%d messages of %d bytes, %v; want the last 100", len(lacking), h.bytes, ok)
	}
	if !h.due() {
		t.Error("no ping is due")
	}
	pong := h.ping()
	h.add(textFrame("later"))
	if h.due() {
		t.Error("a ping is due, though one is under way")
	}
	for _, strange := range [][]byte{nil, []byte("pong"), make([]byte, 8), bytes.Repeat([]byte{0xff}, 8)} {
		h.confirm(strange)
	}
	if len(h.frames) != 100 {
		t.Errorf("%d messages left, want 100: nothing is confirmed", len(h.frames))
	}
	h.confirm(pong)
	if lacking, ok := h.since(150); !ok || len(lacking) != 1 || h.bytes != 5 {
		t.Errorf("%d messages of %d bytes, %v; want one of 5", len(lacking), h.bytes, ok)
	}
	h.add(frame{kind: websocket.BinaryMessage, payload: make([]byte, 1<<20+1)})
	if len(h.frames) != 0 || h.bytes != 0 || h.written() != 152 {
		t.Errorf("%d messages of %d bytes; want none, for the last one is too big", len(h.frames), h.bytes)
	}
}

func TestOutboxAbandon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		killed := make(chan struct{})
		o := newOutbox(10, 100, func() { close(killed) })
		o.send(textFrame("lost"))
		alive := o.probe()
		o.lives()
		<-alive
		o.abandon(websocket.ClosePolicyViolation, "slow consumer", time.Minute)
		if !o.over() {
			t.Error("an abandoned outbox is not over")
		}
		assertEqual(t, drain(o), "ping", "close slow consumer")
		began := time.Now()
		<-killed
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("killed after %v, want %v", waited, time.Minute)
		}
		o.disarm()
	})
}
