package signalling_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/signalling"
)

// TestHangUp ends calls from either side, makes the next at once, and ends in a
// room.
func TestHangUp(t *testing.T) {
	url := startRelay(t, server.Config{})
	a, b := pairInCall(t, url, url)
	for i := range 6 {
		ends, other := a, b
		if i%2 == 0 {
			ends, other = b, a
		}
		for i := range 100 {
			send(t, ends, fmt.Sprint(i))
		}
		hangUp(t, ends) // after all of them
		wantCallEnded(t, ends, signalling.ErrHungUp)
		wantCallTexts(t, other, 0, 100)
		wantCallEnded(t, other, signalling.ErrPeerLeft)
		for _, c := range []*signalling.Client{a, b} {
			if err := c.Send(testContext(t), "x"); !errors.Is(err, signalling.ErrNoCall) {
				t.Errorf("Send: %v, want ErrNoCall", err)
			}
		}
		if i%3 == 0 {
			connect(t, b, a, "caller")
		} else {
			connect(t, a, b, "callee")
		}
	}
	hangUp(t, a)
	wantCallEnded(t, a, signalling.ErrHungUp)
	wantCallEnded(t, b, signalling.ErrPeerLeft)
	join(t, a, "room")
	join(t, b, "room", "caller")
	wantEvent(t, a, signalling.PeerJoined{UID: "callee"})
	if err := b.Call(testContext(t), "caller"); !errors.Is(err, signalling.ErrCall) {
		t.Errorf("Call in a room: %v, want ErrCall", err)
	}
}

// TestHangUpFromRecv hangs up on a peer that talks, with one goroutine for
// everything and more events waiting than there is place for.
func TestHangUpFromRecv(t *testing.T) {
	url := startRelay(t, server.Config{})
	a, b := pairInCall(t, url, url)
	for i := range 400 {
		send(t, b, fmt.Sprint(i))
	}
	wantCallTexts(t, a, 0, 3)
	eventually(t, "stop of reading", func() bool { return a.Waiting() == signalling.MaxEvents })
	hangUp(t, a)
	for i := 3; ; i++ {
		event, err := a.Recv(testContext(t))
		if ended, ok := event.(signalling.CallEnded); ok && errors.Is(ended.Cause, signalling.ErrHungUp) {
			break
		}
		if err != nil || event != (signalling.CallMessage{Text: fmt.Sprint(i)}) {
			t.Fatalf("got %#v, %v; want text %d, or CallEnded", event, err, i)
		}
	}
	wantCallEnded(t, b, signalling.ErrPeerLeft)
	connect(t, a, b, "callee")
}

// TestHangUpTogether has both peers, and several goroutines of one, hang up.
func TestHangUpTogether(t *testing.T) {
	url := startRelay(t, server.Config{})
	a, b := pairInCall(t, url, url)
	for range 20 {
		var all sync.WaitGroup
		for _, c := range []*signalling.Client{a, a, b} {
			all.Go(func() {
				if err := c.HangUp(testContext(t)); err != nil && !errors.Is(err, signalling.ErrNoCall) {
					t.Errorf("HangUp: %v", err)
				}
			})
		}
		all.Wait()
		for _, c := range []*signalling.Client{a, b} {
			event, err := c.Recv(testContext(t))
			if _, ok := event.(signalling.CallEnded); !ok {
				t.Fatalf("got %#v, %v; want CallEnded", event, err)
			}
		}
		connect(t, a, b, "callee")
	}
}

// TestHangUpUnanswered hangs up at a relay that has gone silent.
func TestHangUpUnanswered(t *testing.T) {
	over := make(chan struct{})
	url := relayThat(t, func(n int32, ws *websocket.Conn) {
		answer(ws, "HELLO")
		if n == 1 {
			answer(ws, "SESSION_OK")
			<-over
			return
		}
		waitForEnd(ws)
	})
	t.Cleanup(func() { close(over) })
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	call(t, c, "x")
	for range 30 { // more than fits into sockets, so that the writing is stuck
		send(t, c, strings.Repeat("x", signalling.MaxMessage))
	}
	start := time.Now()
	hangUp(t, c)
	if took := time.Since(start); took > 8*time.Second { // less than for a message
		t.Errorf("HangUp took %v, want 2s", took)
	}
	wantCallEnded(t, c, signalling.ErrHungUp)
}
