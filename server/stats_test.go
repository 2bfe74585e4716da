package server_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/server"
)

// samples is an Observer that remembers.
type samples struct {
	mu     sync.Mutex
	values []float64
}

func (s *samples) Observe(v float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = append(s.values, v)
}

func TestStats(t *testing.T) {
	var relayTimes samples
	r := startRelay(t, server.Config{RelayTime: &relayTimes}, server.Patience{})
	caller, callee := r.session(t)
	a, b := r.register(t, "a"), r.register(t, "b")
	a.enter("lab")
	b.enter("lab", a)
	a.want("ROOM_PEER_JOINED " + b.uid)
	idle := r.dial(t, "/")
	before := r.server.Stats()

	for range 32 {
		caller.send("four")
		callee.want("four")
	}
	a.send("ROOM_PEER_MSG " + b.uid + " hi")
	b.want("ROOM_PEER_MSG " + a.uid + " hi")
	a.send("ROOM_PEER_LIST")
	a.wantMembers("ROOM_PEER_LIST ", b)
	now := r.server.Stats()

	if now.Connections != 5 || now.Peers != 4 || now.Sessions != 1 || now.Rooms != 1 {
		t.Errorf("%+v; want 5 connections, 4 peers, a session and a room", now)
	}
	list := uint64(len("ROOM_PEER_LIST"))
	for kind, want := range map[server.Kind]server.Traffic{
		server.KindSession: {Messages: 32, Bytes: 128},
		server.KindRoom:    {Messages: 1, Bytes: uint64(len("ROOM_PEER_MSG  hi") + len(b.uid))},
		server.KindCommand: {Messages: 1, Bytes: list},
	} {
		got := server.Traffic{
			Messages: now.Received[kind].Messages - before.Received[kind].Messages,
			Bytes:    now.Received[kind].Bytes - before.Received[kind].Bytes,
		}
		if got != want {
			t.Errorf("kind %d: received %+v, want %+v", kind, got, want)
		}
	}
	idle.leave()
	caller.leave()
	a.leave()
	b.want("ROOM_PEER_LEFT " + a.uid)
	b.leave()
	r.server.Close()
	after := r.server.Stats()
	if after.Connections != 0 || after.Peers != 0 || after.Sessions != 0 || after.Rooms != 0 || after.QueuedMessages != 0 {
		t.Errorf("%+v after the end, want nobody", after)
	}
	// HELLO to four, SESSION_OK, two ROOM_OK, JOINED and LEFT, and what is above.
	if after.Sent.Messages != 9+32+1+1 {
		t.Errorf("sent %d messages, want 43", after.Sent.Messages)
	}
	if n := len(relayTimes.values); n < 2 {
		t.Errorf("%d messages of 32 were timed, want every 16th", n)
	}
	for _, seconds := range relayTimes.values {
		if seconds <= 0 || seconds > patience.Seconds() {
			t.Errorf("a message took %v s", seconds)
		}
	}
}

// TestQueueDepth has a peer that does not read.
func TestQueueDepth(t *testing.T) {
	r := startRelay(t, server.Config{Limits: server.Limits{QueuedBytes: 64 << 20}}, server.Patience{})
	caller, deaf := r.register(t, "caller"), r.dialDeaf(t, "/", nil)
	deaf.uid = id("deaf")
	deaf.send("HELLO " + deaf.uid)
	if _, _, err := deaf.ws.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	caller.send("SESSION " + deaf.uid)
	caller.want("SESSION_OK")
	text := strings.Repeat("x", 1<<19)
	for range 40 { // more than the system takes for a connection that is not read
		caller.send(text)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		stats := r.server.Stats()
		if stats.LongestQueue > 0 && stats.QueuedBytes >= len(text) && stats.QueuedMessages >= stats.LongestQueue {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, want what is not read to be queued", stats)
		}
	}
}

func TestReady(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	if response, body := get(t, r, "/ready"); response.StatusCode != http.StatusOK || body != "OK\n" {
		t.Errorf("%s %q, want 200 OK", response.Status, body)
	}
}
