package server

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// drain takes all that is to be written, the close frame at most once.
func drain(o *outbox) []string {
	var got []string
	for {
		f, ok := o.next()
		switch {
		case !ok:
			return got
		case f.kind == websocket.CloseMessage:
			return append(got, "close "+string(f.payload[2:]))
		case f.kind == websocket.PingMessage:
			got = append(got, "ping")
		case f.kind == websocket.PongMessage:
			got = append(got, "pong "+string(f.payload))
		default:
			got = append(got, string(f.payload))
			o.written(1)
		}
	}
}

func TestOutboxOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(10, 100, func() {})
		defer o.release()
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
	if !o.send(frame{websocket.TextMessage, make([]byte, 11)}) {
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
	if !o.send(frame{websocket.TextMessage, bytes.Repeat([]byte("x"), 10)}) || o.bytes != 10 {
		t.Errorf("%d bytes counted, want 10", o.bytes)
	}
}

func TestOutboxKeep(t *testing.T) {
	o := newOutbox(4, 100, func() {})
	defer o.release()
	o.greet(textFrame("HELLO"), nil)
	for _, text := range []string{"one", "two", "three"} {
		o.send(textFrame(text))
	}
	for range 2 {
		o.next()
		o.written(1)
	}
	o.next() // "two" is being written
	settled := o.keep(websocket.CloseGoingAway, "gone", time.Minute)
	select {
	case <-settled:
		t.Error("settled while a message is being written")
	default:
	}
	o.written(0) // but it failed
	<-settled
	assertEqual(t, drain(o), "close gone")
	o.send(textFrame("four"))
	successor := newOutbox(4, 100, func() {})
	successor.greet(textFrame("HELLO"), o.take())
	again := newOutbox(4, 100, func() {}) // takes over before anything is written
	<-successor.keep(websocket.CloseGoingAway, "", time.Minute)
	defer successor.release()
	again.greet(textFrame("HELLO AGAIN"), successor.take())
	assertEqual(t, drain(again), "HELLO AGAIN", "two", "three", "four")
	if again.bytes != 0 {
		t.Errorf("%d bytes counted in an empty outbox", again.bytes)
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
		o.release()
	})
}
