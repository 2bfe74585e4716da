package server

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// recording is a connection on which everything has been said beforehand. It
// gives some bytes at a time.
type recording struct {
	net.Conn
	rest []byte
	step int
}

func (r *recording) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(r.step, len(r.rest))])
	r.rest = r.rest[n:]
	return n, nil
}

func (*recording) Write(p []byte) (int, error)      { return len(p), nil }
func (*recording) Close() error                     { return nil }
func (*recording) SetDeadline(time.Time) error      { return nil }
func (*recording) SetWriteDeadline(time.Time) error { return nil }

func (*recording) arrived() {}
func (*recording) waits()   {}

// heard is what a reader makes of a recording: messages, pings and pongs, and
// how it ends.
type heard struct {
	frames []frame
	end    error
}

const testLimit = 10_000

func plenty(int) bool { return true }

func hear(wire []byte, step int) (h heard) {
	r := &recording{rest: wire, step: step}
	reader := &frameReader{socket: newSocket(r, r), limit: testLimit, memory: plenty, control: func(kind int, payload []byte) error {
		h.frames = append(h.frames, frame{kind: kind, payload: bytes.Clone(payload)})
		return nil
	}}
	for {
		f, err := reader.next()
		if err != nil {
			h.end = err
			return h
		}
		h.frames = append(h.frames, f)
	}
}

// hijackable lets gorilla take a recording over.
type hijackable struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(strings.NewReader("")), bufio.NewWriter(io.Discard)), nil
}

// hearGorilla is hear, with gorilla's reader.
func hearGorilla(t *testing.T, wire []byte) (h heard) {
	r := httptest.NewRequest("GET", "/", nil)
	for name, value := range map[string]string{
		"Connection": "upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
	} {
		r.Header.Set(name, value)
	}
	upgrader := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024}
	ws, err := upgrader.Upgrade(hijackable{httptest.NewRecorder(), &recording{rest: wire, step: len(wire) + 1}}, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(testLimit)
	note := func(kind int) func(string) error {
		return func(payload string) error {
			h.frames = append(h.frames, frame{kind: kind, payload: []byte(payload)})
			return nil
		}
	}
	ws.SetPingHandler(note(websocket.PingMessage))
	ws.SetPongHandler(note(websocket.PongMessage))
	for {
		kind, payload, err := ws.ReadMessage()
		if err != nil {
			h.end = err
			return h
		}
		h.frames = append(h.frames, frame{kind: kind, payload: payload})
	}
}

// FuzzFrameReader holds that what a client sends means the same as to gorilla's
// reader, however it is cut into pieces on its way.
func FuzzFrameReader(f *testing.F) {
	long := string(maskedWith([4]byte{1, 2, 3, 4}, 0x82, bytes.Repeat([]byte("long"), 2000)))
	for _, seed := range []string{
		"", masked(0x81, "text"), masked(0x81, "") + masked(0x82, "bytes"), long, long + long, long[:5000],
		masked(0x01, "one ") + masked(0x89, "ping") + masked(0x00, "") + masked(0x80, "message"),
		masked(0x01, "a") + masked(0x81, "b"), masked(0x80, "x"), masked(0x00, "x"),
		masked(0x8a, "pong") + masked(0x88, "\x03\xe8bye"), masked(0x88, ""), masked(0x88, "\x03\xed"), masked(0x88, "\x0f\xa0\xff"),
		masked(0x09, "x"), masked(0xc1, "x"), masked(0x83, "x"), masked(0x8b, "x"), "\x81\x01x",
		"\x81\xfe\x00\x04\x00\x00\x00\x00text", "\x81\xff\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00text",
		"\x81\xff\x80\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00text", "\x89\xfe\x00\x04\x00\x00\x00\x00ping", "\x81\xfe\x27\x11\x00\x00\x00\x00",
	} {
		f.Add([]byte(seed), uint8(1))
		f.Add([]byte(seed), uint8(255))
	}
	f.Fuzz(func(t *testing.T, wire []byte, step uint8) {
		got, want := hear(slices.Clone(wire), int(step)+1), hearGorilla(t, wire)
		same := slices.EqualFunc(got.frames, want.frames, func(a, b frame) bool {
			return a.kind == b.kind && bytes.Equal(a.payload, b.payload)
		})
		if !same || !sameEnd(got.end, want.end) {
			t.Fatalf("%q:\n%d frames, then %v\ngorilla: %d frames, then %v", wire, len(got.frames), got.end, len(want.frames), want.end)
		}
	})
}

// sameEnd compares the ends of ours and of gorilla's reader, which knows fewer
// close codes, lets a close frame of one byte pass, and reads the mask of what
// is too long.
func sameEnd(ours, gorillas error) bool {
	var closed, closedGorilla *websocket.CloseError
	violated := errors.Is(ours, errViolation)
	switch {
	case errors.As(gorillas, &closedGorilla) && errors.As(ours, &closed):
		return *closed == *closedGorilla
	case errors.As(gorillas, &closedGorilla):
		return closedGorilla.Code == websocket.CloseNoStatusReceived && violated ||
			closedGorilla.Code == websocket.CloseAbnormalClosure && errors.Is(ours, websocket.ErrReadLimit)
	case errors.As(ours, &closed):
		return closed.Code == 1014
	case errors.Is(gorillas, websocket.ErrReadLimit):
		return errors.Is(ours, websocket.ErrReadLimit)
	}
	return violated
}

func maskedWith(mask [4]byte, first byte, payload []byte) []byte {
	wire := []byte{first, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload))}
	wire = append(wire, mask[:]...)
	for i, c := range payload {
		wire = append(wire, c^mask[i%4])
	}
	return wire
}

// TestUnmask compares with the plain way, in all positions of the mask.
func TestUnmask(t *testing.T) {
	mask := [4]byte{0x12, 0x34, 0x56, 0x78}
	for length := range 40 {
		for before := range 9 {
			b, want := make([]byte, length), make([]byte, length)
			for i := range b {
				b[i] = byte(rand.Uint32())
				want[i] = b[i] ^ mask[(before+i)%4]
			}
			if unmask(b, mask, before); !bytes.Equal(b, want) {
				t.Fatalf("%d bytes after %d: got %x, want %x", length, before, b, want)
			}
		}
	}
}

// TestLongMessageTakesMemory holds the account of a message to the room that it has
// while it comes, which is no more than twice as much as has come.
func TestLongMessageTakesMemory(t *testing.T) {
	const length = 1 << 20
	whole := append([]byte("\x82\xff\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00"), make([]byte, length)...)
	var parts []byte
	for i := range length / 256 {
		first := byte(0)
		switch i {
		case 0:
			first = 0x02
		case length/256 - 1:
			first = 0x80
		}
		parts = append(append(parts, first, 0xfe, 1, 0, 0, 0, 0, 0), make([]byte, 256)...)
	}
	short := append([]byte("\x82\xfe\x08\x00\x00\x00\x00\x00"), make([]byte, 2<<10)...)
	for _, c := range []struct {
		wire     []byte
		there    int // memory
		most     int // that is taken
		ending   error
		received int
	}{
		{short, 0, 0, nil, 2 << 10},
		{whole, length, length, nil, length},
		{parts, length, length, nil, length},
		{whole, length - 1, length - 1, errMemory, 0},
		{whole[:100_000], length, 200_000, io.ErrUnexpectedEOF, 0},
	} {
		r := &recording{rest: c.wire, step: 1000}
		taken, most, growths := 0, 0, 0
		reader := &frameReader{socket: newSocket(r, r), limit: length, memory: func(more int) bool {
			if taken+more > c.there {
				return false
			}
			taken += more
			most = max(most, taken)
			growths++
			return true
		}}
		f, err := reader.next()
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			err = io.ErrUnexpectedEOF
		}
		if !errors.Is(err, c.ending) || err == nil && (len(f.payload) != c.received || cap(f.payload) > c.received) {
			t.Errorf("%d bytes with room for %d, %v; want %d, %v", len(f.payload), cap(f.payload), err, c.received, c.ending)
		}
		if taken != 0 || most > c.most {
			t.Errorf("%d bytes are still taken, %d were at most; want 0 and up to %d", taken, most, c.most)
		}
		if growths > 20 { // each copies all
			t.Errorf("it grew %d times", growths)
		}
	}
}

// TestForget: of a long message what comes first is kept, in whole characters.
func TestForget(t *testing.T) {
	text := strings.Repeat("ä", 1000)
	r := &recording{rest: append([]byte("\x81\xfe\x07\xd0\x00\x00\x00\x00"), text...), step: 70}
	reader := &frameReader{socket: newSocket(r, r), limit: 2000, forget: 101, memory: plenty}
	f, err := reader.next()
	if err != nil || string(f.payload) != text[:100] || cap(f.payload) > len(messageBuffer{}) {
		t.Errorf("got %q with room for %d bytes, %v; want the first 50 characters", f.payload, cap(f.payload), err)
	}
}

// TestThreatOfLongFrame holds that memory comes with what a client sends, not
// with what it announces.
func TestThreatOfLongFrame(t *testing.T) {
	r := &recording{rest: []byte("\x82\xff\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00some"), step: 100}
	reader := &frameReader{socket: newSocket(r, r), limit: 1 << 20, memory: plenty}
	f, err := reader.next()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != websocket.CloseAbnormalClosure || cap(f.payload) > len(messageBuffer{}) {
		t.Errorf("got %v with room for %d bytes, want 1006 and %d", err, cap(f.payload), len(messageBuffer{}))
	}
}
