package server

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/gorilla/websocket"
)

// TestBatchFrames holds the wire format at each border between forms of the
// length, and between short and long payloads.
func TestBatchFrames(t *testing.T) {
	for _, length := range []int{0, 1, 125, 126, 0xffff, 0x10000, copiedSize, copiedSize + 1, batchSize, 1 << 20} {
		var b batch
		sent := frame{kind: websocket.BinaryMessage, payload: bytes.Repeat([]byte{0x55}, length)}
		if !b.add(sent) {
			t.Fatalf("%d bytes: no place in an empty batch", length)
		}
		wire := wireOf(&b, 1000)
		got, rest := cutFrame(wire)
		if got.kind != sent.kind || !bytes.Equal(got.payload, sent.payload) || len(rest) != 0 {
			t.Errorf("%d bytes: came out as kind %d with %d bytes and %d more", length, got.kind, len(got.payload), len(rest))
		}
		if shortest := headerLength(length) + length; len(wire) != shortest || b.length() != shortest {
			t.Errorf("%d bytes: %d on the wire, length says %d, want %d (RFC 6455, section 5.2)", length, len(wire), b.length(), shortest)
		}
	}
}

func headerLength(payload int) int {
	switch {
	case payload < 126:
		return 2
	case payload <= 0xffff:
		return 4
	}
	return 10
}

// wireOf reads a batch as it is written when the socket takes so much at a time.
func wireOf(b *batch, step int) []byte {
	var wire []byte
	for len(wire) < b.length() {
		rest := b.rest(len(wire))
		wire = append(wire, rest[:min(step, len(rest))]...)
	}
	return wire
}

// TestBatchTellsWholeMessages has the connection break after each byte.
func TestBatchTellsWholeMessages(t *testing.T) {
	var b batch
	var ends []int
	end := 0
	for _, f := range []frame{
		{kind: websocket.PingMessage, payload: []byte("12345678")},
		{kind: websocket.TextMessage, payload: []byte("one")},
		{kind: websocket.TextMessage},
		{kind: websocket.BinaryMessage, payload: make([]byte, copiedSize+1)},
	} {
		if !b.add(f) {
			t.Fatal("no place")
		}
		end += headerLength(len(f.payload)) + len(f.payload)
		if f.kind != websocket.PingMessage {
			ends = append(ends, end)
		}
	}
	if b.add(frame{kind: websocket.TextMessage}) {
		t.Error("a batch takes a frame behind a long payload")
	}
	for written := range end + 1 {
		want := 0
		for _, end := range ends {
			if end <= written {
				want++
			}
		}
		if got := b.messages(written); got != want {
			t.Fatalf("after %d bytes %d messages are whole, want %d", written, got, want)
		}
	}
}

func TestBatchIsBounded(t *testing.T) {
	var b batch
	frames := 0
	for b.add(frame{kind: websocket.TextMessage, payload: make([]byte, 1000)}) {
		frames++
	}
	if frames != batchSize/(1000+4) {
		t.Errorf("%d frames of 1,000 bytes in %d", frames, batchSize)
	}
	b.reset()
	if b.length() != 0 || len(b.ends) != 0 || !b.add(frame{kind: websocket.TextMessage, payload: make([]byte, 1<<20)}) {
		t.Error("a reset batch is not empty")
	}
}

// TestOutboxEndsBatches has a close frame that finds no place in the batch of
// the messages before it.
func TestOutboxEndsBatches(t *testing.T) {
	o := newOutbox(100, 1<<20, func() {})
	defer o.disarm()
	for range 5 {
		o.send(frame{kind: websocket.TextMessage, payload: make([]byte, copiedSize-30)})
	}
	o.send(frame{kind: websocket.TextMessage, payload: make([]byte, copiedSize+1)})
	o.finish(websocket.CloseNormalClosure, "bye", 1<<40)
	var b batch
	var messages []int
	for o.next(&b) && !b.last {
		messages = append(messages, len(b.ends))
		o.written(len(b.ends))
	}
	if len(messages) != 2 || messages[0] != 4 || messages[1] != 2 {
		t.Errorf("batches of %v messages before the close frame, want 4 and 2", messages)
	}
	closing, _ := cutFrame(b.rest(0))
	if closing.kind != websocket.CloseMessage || binary.BigEndian.Uint16(closing.payload) != websocket.CloseNormalClosure {
		t.Errorf("the last frame is %v", closing)
	}
}
