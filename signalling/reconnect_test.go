package signalling_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/internal/wire"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/signalling"
)

func wantRejoined(t *testing.T, c *signalling.Client, members ...string) {
	t.Helper()
	event, err := c.Recv(testContext(t))
	got, ok := event.(signalling.Rejoined)
	slices.Sort(got.Members)
	if err != nil || !ok || strings.Join(got.Members, " ") != strings.Join(members, " ") {
		t.Fatalf("got %#v, %v; want Rejoined with %q", event, err, members)
	}
}

// wantTexts waits for messages from..to-1 of a member, and nothing else.
func wantTexts(t *testing.T, c *signalling.Client, member string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		wantEvent(t, c, signalling.Message{From: member, Text: fmt.Sprint(i)})
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(patience)
	for !so() {
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatalf("no %s after %v", what, patience)
		}
	}
}

// pairInRoom gives a client on a wire that can be cut, with a count of its
// attempts to come back, and another client.
func pairInRoom(t *testing.T, relay string) (w *wire.Wire, far, near *signalling.Client, attempts *attemptCounter) {
	t.Helper()
	w, through := wire.New(t, relay)
	attempts = new(attemptCounter)
	far = dial(t, signalling.ClientConfig{URL: through, UID: "far", Log: slog.New(attempts)})
	join(t, far, "room")
	near = dial(t, signalling.ClientConfig{URL: relay, UID: "near"})
	join(t, near, "room", "far")
	wantEvent(t, far, signalling.PeerJoined{UID: "near"})
	return w, far, near, attempts
}

// attemptCounter is a log that counts its entries: a client whose relay is as
// expected logs failed attempts to connect again, and nothing else.
type attemptCounter struct{ atomic.Int32 }

func (a *attemptCounter) Enabled(context.Context, slog.Level) bool { return true }
func (a *attemptCounter) Handle(context.Context, slog.Record) error {
	a.Add(1)
	return nil
}
func (a *attemptCounter) WithAttrs([]slog.Attr) slog.Handler { return a }
func (a *attemptCounter) WithGroup(string) slog.Handler      { return a }

// TestResumeLosesNothing cuts a connection under messages in both directions,
// some of which have been written, and then were lost on the wire.
func TestResumeLosesNothing(t *testing.T) {
	w, far, near, _ := pairInRoom(t, startRelay(t, server.Config{}))
	sent := 0
	exchange := func(n int) {
		for range n {
			sendTo(t, far, "near", fmt.Sprint(sent))
			sendTo(t, near, "far", fmt.Sprint(sent))
			sent++
		}
	}
	for range 4 {
		exchange(20)
		wantTexts(t, near, "far", sent-20, sent)
		wantTexts(t, far, "near", sent-20, sent)
		w.Hold()
		exchange(20)
		eventually(t, "loss in both directions", func() bool {
			up, down := w.Swallowed()
			return up > 0 && down > 0
		})
		w.Cut()
		exchange(20)
		wantTexts(t, near, "far", sent-40, sent) // and no PeerLeft, no PeerJoined
		wantReconnecting(t, far, "")
		wantEvent(t, far, signalling.Resumed{})
		wantTexts(t, far, "near", sent-40, sent)
	}
}

// TestResumeHalfOpen has the client know of the break, but not the relay.
func TestResumeHalfOpen(t *testing.T) {
	w, far, near, _ := pairInRoom(t, startRelay(t, server.Config{}))
	w.CutNear()
	sendTo(t, near, "far", "0")
	wantReconnecting(t, far, "")
	wantEvent(t, far, signalling.Resumed{})
	wantTexts(t, far, "near", 0, 1)
	sendTo(t, far, "near", "0")
	wantTexts(t, near, "far", 0, 1)
}

// TestRegistersAnew comes back to a relay that has not kept its place.
func TestRegistersAnew(t *testing.T) {
	relay := startRelay(t, server.Config{ResumeGrace: -1})
	w, far, near, _ := pairInRoom(t, relay)
	w.Hold()
	sendTo(t, far, "near", "for a peer that has seen us leave")
	eventually(t, "loss on the wire", func() bool {
		up, _ := w.Swallowed()
		return up > 0
	})
	w.Cut()
	wantEvent(t, near, signalling.PeerLeft{UID: "far"})
	wantReconnecting(t, far, "")
	wantRejoined(t, far, "near")
	wantEvent(t, near, signalling.PeerJoined{UID: "far"})
	sendTo(t, far, "near", "0")
	wantTexts(t, near, "far", 0, 1)
	sendTo(t, near, "far", "0")
	wantTexts(t, far, "near", 0, 1)
}

// TestRelayThatCannotResume says that it has other messages than it can have.
func TestRelayThatCannotResume(t *testing.T) {
	secrets := make(chan string, 3)
	connections := atomic.Int32{}
	serve := func(ws *websocket.Conn) {
		switch connections.Add(1) {
		case 1:
			answer(ws, "HELLO")
			answer(ws, "ROOM_OK a b")
			ws.NetConn().Close()
		case 2:
			answer(ws, signalling.HelloResumed(99))
			waitForEnd(ws)
		default:
			answer(ws, "HELLO")
			answer(ws, "ROOM_OK b c")
			waitForEnd(ws)
		}
	}
	url := relayOf(t, func(w http.ResponseWriter, r *http.Request) {
		secrets <- r.URL.Query().Get(signalling.QueryResume)
		upgrade(t, w, r, serve)
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	join(t, c, "room", "a", "b")
	wantReconnecting(t, c, "")
	wantRejoined(t, c, "b", "c")
	first, second, third := <-secrets, <-secrets, <-secrets
	if first != second || second == third || len(first) < signalling.MinResumeSecret || len(third) < signalling.MinResumeSecret {
		t.Errorf("secrets %q, %q, %q: want the first for the second time, then another one", first, second, third)
	}
}

// TestRoomNeverAnswers is not let into its room, nor refused, at first. It runs
// when GSTPEER_LONG is set.
func TestRoomNeverAnswers(t *testing.T) {
	if os.Getenv("GSTPEER_LONG") == "" {
		t.Skip("GSTPEER_LONG=1 is not set")
	}
	connections := atomic.Int32{}
	url := fakeRelay(t, func(ws *websocket.Conn) {
		answer(ws, "HELLO")
		if connections.Add(1) != 2 {
			answer(ws, "ROOM_OK a")
		}
		if connections.Load() > 1 {
			waitForEnd(ws)
		}
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me", Keepalive: time.Second})
	join(t, c, "room", "a")
	wantReconnecting(t, c, "")
	wantRejoined(t, c, "a")
}

// TestRoomRefusesAgain is let into its room only at the second try.
func TestRoomRefusesAgain(t *testing.T) {
	connections := atomic.Int32{}
	url := fakeRelay(t, func(ws *websocket.Conn) {
		answer(ws, "HELLO")
		switch connections.Add(1) {
		case 1:
			answer(ws, "ROOM_OK a")
			ws.NetConn().Close()
		case 2:
			answer(ws, "ERROR room is full")
			waitForEnd(ws)
		default:
			answer(ws, "ROOM_OK")
			waitForEnd(ws)
		}
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	join(t, c, "room", "a")
	wantReconnecting(t, c, "")
	wantRejoined(t, c)
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

// TestJoinSurvivesReconnection has the relay go between ROOM and its answer.
func TestJoinSurvivesReconnection(t *testing.T) {
	connections := atomic.Int32{}
	url := fakeRelay(t, func(ws *websocket.Conn) {
		answer(ws, "HELLO")
		if connections.Add(1) == 1 {
			_, _, _ = ws.ReadMessage()
			return
		}
		answer(ws, "ROOM_OK a")
		waitForEnd(ws)
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	join(t, c, "room", "a")
	wantReconnecting(t, c, "")
	wantEvent(t, c, signalling.Resumed{})
}

// TestUIDHeldByItsPast comes back to a relay that is slow to notice.
func TestUIDHeldByItsPast(t *testing.T) {
	connections := atomic.Int32{}
	url := fakeRelay(t, func(ws *websocket.Conn) {
		switch connections.Add(1) {
		case 1:
			answer(ws, "HELLO")
		case 2, 3:
			answer(ws)
			closeWith(ws, websocket.CloseProtocolError, "invalid peer uid")
		default:
			answer(ws, "HELLO")
			waitForEnd(ws)
		}
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	wantReconnecting(t, c, "")
	wantEvent(t, c, signalling.Resumed{})
}

// TestReturnRefused comes back to a relay that is there and does not take it at
// first: the log says why, and not that the relay is away.
func TestReturnRefused(t *testing.T) {
	uidTaken := func(ws *websocket.Conn) { answer(ws, "ERROR invalid peer uid") }
	for _, test := range []struct {
		name   string
		refuse func(t *testing.T, w http.ResponseWriter, r *http.Request)
		says   string
	}{
		{"uid", func(t *testing.T, w http.ResponseWriter, r *http.Request) { upgrade(t, w, r, uidTaken) }, `"me" is taken by another peer`},
		{"full", func(_ *testing.T, w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "too many connections", http.StatusServiceUnavailable)
		}, `HTTP 503 Service Unavailable (too many connections)`},
		{"room", func(t *testing.T, w http.ResponseWriter, r *http.Request) {
			upgrade(t, w, r, func(ws *websocket.Conn) {
				answer(ws, "HELLO")
				answer(ws, "ERROR room is full")
				waitForEnd(ws)
			})
		}, `cannot join the room "room" again: the relay says: room is full`},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := make(logLines, 10)
			connections, refusing := atomic.Int32{}, atomic.Bool{}
			refusing.Store(true)
			url := relayOf(t, func(w http.ResponseWriter, r *http.Request) {
				first := connections.Add(1) == 1
				if !first && refusing.Load() {
					test.refuse(t, w, r)
					return
				}
				upgrade(t, w, r, func(ws *websocket.Conn) {
					answer(ws, "HELLO")
					answer(ws, "ROOM_OK")
					if !first {
						waitForEnd(ws)
					}
				})
			})
			c := dial(t, signalling.ClientConfig{URL: url, UID: "me", Log: slog.New(slog.NewTextHandler(log, nil))})
			join(t, c, "room")
			wantReconnecting(t, c, "")
			line := strings.ReplaceAll(<-log, `\"`, `"`)
			if !strings.Contains(line, `msg="cannot come back yet"`) || !strings.Contains(line, test.says) {
				t.Errorf("log: %s, want why it cannot come back: %s", line, test.says)
			}
			refusing.Store(false)
			wantRejoined(t, c)
		})
	}
}

// logLines takes the first lines of a log, as many as it has place for.
type logLines chan string

func (l logLines) Write(line []byte) (int, error) {
	select {
	case l <- string(line):
	default:
	}
	return len(line), nil
}

func TestToken(t *testing.T) {
	valid := atomic.Bool{}
	valid.Store(true)
	url := relayOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-token" || !valid.Load() {
			http.Error(w, "not with that", http.StatusForbidden)
			return
		}
		upgrade(t, w, r, func(ws *websocket.Conn) {
			answer(ws, "HELLO")
			valid.Store(false)
			closeWith(ws, websocket.ClosePolicyViolation, "token expired")
		})
	})
	for _, wrong := range []string{"", "another-token"} {
		_, err := signalling.Dial(testContext(t), signalling.ClientConfig{URL: url, UID: "me", Token: wrong})
		if !errors.Is(err, signalling.ErrTokenRefused) || !strings.Contains(err.Error(), "(not with that)") || wrong != "" && strings.Contains(err.Error(), wrong) {
			t.Errorf("token %q: %v, want ErrTokenRefused with the reason, and not the token", wrong, err)
		}
	}
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me", Token: "the-token"})
	wantReconnecting(t, c, "1008 token expired")
	for range 2 {
		if _, err := c.Recv(testContext(t)); !errors.Is(err, signalling.ErrTokenRefused) {
			t.Errorf("Recv: %v, want ErrTokenRefused", err)
		}
	}
	if err := c.SendTo(testContext(t), "x", "y"); !errors.Is(err, signalling.ErrTokenRefused) {
		t.Errorf("SendTo: %v, want ErrTokenRefused", err)
	}
	if _, err := c.Join(testContext(t), "room"); !errors.Is(err, signalling.ErrTokenRefused) {
		t.Errorf("Join: %v, want ErrTokenRefused", err)
	}
}

// TestCloseWhileAway closes clients that have lost their relay for good.
func TestCloseWhileAway(t *testing.T) {
	relay, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	host := httptest.NewServer(relay.Handler())
	var attempts attemptCounter
	c := dial(t, signalling.ClientConfig{URL: host.URL, UID: "c", Log: slog.New(&attempts)})
	join(t, c, "room")
	relay.Close()
	host.Close()
	wantReconnecting(t, c, "1001")
	eventually(t, "attempts", func() bool { return attempts.Load() >= 3 })
	if err := c.SendTo(testContext(t), "x", "kept"); err != nil {
		t.Errorf("SendTo: %v", err)
	}
	for range 300 {
		err = c.SendTo(testContext(t), "x", "too much")
	}
	if !errors.Is(err, signalling.ErrDisconnected) {
		t.Errorf("SendTo: %v, want ErrDisconnected", err)
	}
	start := time.Now()
	c.Close()
	if took := time.Since(start); took > time.Second {
		t.Errorf("Close took %v", took)
	}
	if _, err := c.Recv(testContext(t)); !errors.Is(err, signalling.ErrClosed) {
		t.Errorf("Recv: %v, want ErrClosed", err)
	}
}

// TestCloseWhileDialling closes a client whose relay has become silent.
func TestCloseWhileDialling(t *testing.T) {
	connections := atomic.Int32{}
	silent := make(chan struct{})
	url := relayOf(t, func(w http.ResponseWriter, r *http.Request) {
		if connections.Add(1) > 1 {
			close(silent)
			<-r.Context().Done()
			return
		}
		upgrade(t, w, r, func(ws *websocket.Conn) { answer(ws, "HELLO") })
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "c"})
	wantReconnecting(t, c, "")
	<-silent
	start := time.Now()
	c.Close()
	if took := time.Since(start); took > time.Second {
		t.Errorf("Close took %v", took)
	}
}
