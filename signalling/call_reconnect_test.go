package signalling_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/internal/wire"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/signalling"
)

// TestCallResumes cuts the caller's connection under texts in both directions,
// and then the callee's, some of which have been lost on the wire.
func TestCallResumes(t *testing.T) {
	relay := startRelay(t, server.Config{})
	w, through := wire.New(t, relay)
	for _, test := range []struct{ callerURL, calleeURL string }{{through, relay}, {relay, through}} {
		caller, callee := pairInCall(t, test.callerURL, test.calleeURL)
		far, near := caller, callee
		if test.calleeURL == through {
			far, near = callee, caller
		}
		sent := 0
		exchange := func(n int) {
			for range n {
				send(t, far, fmt.Sprint(sent))
				send(t, near, fmt.Sprint(sent))
				sent++
			}
		}
		for range 3 {
			exchange(20)
			wantCallTexts(t, near, sent-20, sent)
			wantCallTexts(t, far, sent-20, sent)
			w.Hold()
			exchange(20)
			eventually(t, "loss in both directions", func() bool {
				up, down := w.Swallowed()
				return up > 0 && down > 0
			})
			w.Cut()
			exchange(20)
			wantCallTexts(t, near, sent-40, sent) // and no CallEnded
			wantReconnecting(t, far, "")
			wantEvent(t, far, signalling.Resumed{})
			wantCallTexts(t, far, sent-40, sent)
		}
		hangUp(t, far)
		wantCallEnded(t, near, signalling.ErrPeerLeft)
		caller.Close()
		callee.Close()
	}
}

// TestCallDoesNotResume comes back to a relay that has not kept its place.
func TestCallDoesNotResume(t *testing.T) {
	relay := startRelay(t, server.Config{ResumeGrace: -1})
	w, through := wire.New(t, relay)
	caller, callee := pairInCall(t, through, relay)
	for range 3 {
		w.Hold()
		send(t, caller, "for a call that has ended")
		eventually(t, "loss on the wire", func() bool {
			up, _ := w.Swallowed()
			return up > 0
		})
		w.Cut()
		wantCallEnded(t, callee, signalling.ErrPeerLeft)
		wantReconnecting(t, caller, "")
		wantCallEnded(t, caller, signalling.ErrDisconnected)
		if err := caller.Send(testContext(t), "x"); !errors.Is(err, signalling.ErrNoCall) {
			t.Errorf("Send: %v, want ErrNoCall", err)
		}
		connect(t, callee, caller, "caller")
	}
}

// TestGraceEnds has a peer stay away from its call for too long.
func TestGraceEnds(t *testing.T) {
	relay := startRelay(t, server.Config{ResumeGrace: time.Millisecond})
	w, through := wire.New(t, relay)
	away, callee := pairInCall(t, through, relay)
	w.Cut()
	wantReconnecting(t, away, "")
	wantCallEnded(t, callee, signalling.ErrPeerLeft)
	wantCallEnded(t, away, signalling.ErrDisconnected)
	connect(t, callee, away, "caller")
}

// TestRelayRestartsInCall takes the relay away from two peers in a call.
func TestRelayRestartsInCall(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(*restartable)
	}{
		{"drained", (*restartable).drain},
		{"broken", (*restartable).breakDown},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := startRestartable(t, "127.0.0.1:0")
			address := relay.listener.Addr().String()
			caller, callee := pairInCall(t, "ws://"+address, "ws://"+address)
			test.end(relay)
			for _, c := range []*signalling.Client{caller, callee} {
				wantReconnecting(t, c, "")
				for range 10 {
					send(t, c, "for a call that does not come back")
				}
			}
			startRestartable(t, address)
			for _, c := range []*signalling.Client{caller, callee} {
				wantCallEnded(t, c, signalling.ErrDisconnected)
			}
			connect(t, callee, caller, "caller") // and nothing of the old call
			exchange(t, callee, caller, 0, 10)
		})
	}
}

// TestHangUpWhileAway hangs up before the connection is back: the other peer gets
// all that was said.
func TestHangUpWhileAway(t *testing.T) {
	relay := startRelay(t, server.Config{})
	w, through := wire.New(t, relay)
	caller, callee := pairInCall(t, through, relay)
	for range 3 {
		w.Cut()
		wantReconnecting(t, caller, "")
		for i := range 10 {
			send(t, caller, fmt.Sprint(i))
		}
		hangUp(t, caller)
		event, err := caller.Recv(testContext(t))
		if event == (signalling.Resumed{}) { // it was quicker
			event, err = caller.Recv(testContext(t))
		}
		if ended, ok := event.(signalling.CallEnded); !ok || !errors.Is(ended.Cause, signalling.ErrHungUp) {
			t.Fatalf("got %#v, %v; want CallEnded", event, err)
		}
		wantCallTexts(t, callee, 0, 10)
		wantCallEnded(t, callee, signalling.ErrPeerLeft)
		connect(t, caller, callee, "callee")
	}
}

// TestHangUpWithoutRelay hangs up when there is no relay to register at.
func TestHangUpWithoutRelay(t *testing.T) {
	relay := startRestartable(t, "127.0.0.1:0")
	address := relay.listener.Addr().String()
	a, b := pairInCall(t, "ws://"+address, "ws://"+address)
	relay.breakDown()
	wantReconnecting(t, a, "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := a.HangUp(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("HangUp: %v, want context.DeadlineExceeded", err)
	}
	if err := a.Send(testContext(t), "x"); !errors.Is(err, signalling.ErrNoCall) {
		t.Errorf("Send: %v, want ErrNoCall", err)
	}
	if err := a.Call(testContext(t), "callee"); !errors.Is(err, signalling.ErrCall) {
		t.Errorf("Call: %v, want ErrCall before the last one has ended", err)
	}
	startRestartable(t, address)
	hangUp(t, a)
	wantCallEnded(t, a, signalling.ErrHungUp)
	wantReconnecting(t, b, "")
	wantCallEnded(t, b, signalling.ErrDisconnected)
	connect(t, a, b, "callee")
}

// TestNotTakenBack ends calls at a relay that goes with them.
func TestNotTakenBack(t *testing.T) {
	ends := map[string]struct {
		relay func(*websocket.Conn)
		us    func(*signalling.Client)
		cause error
	}{
		"they hang up": {
			func(ws *websocket.Conn) { closeWith(ws, websocket.CloseNormalClosure, "") },
			func(*signalling.Client) {},
			signalling.ErrPeerLeft,
		},
		"we hang up": {
			waitForEnd,
			func(c *signalling.Client) { hangUp(t, c) },
			signalling.ErrHungUp,
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			url := relayThat(t, func(n int32, ws *websocket.Conn) {
				switch n {
				case 1:
					answer(ws, "HELLO")
					answer(ws, "SESSION_OK")
					end.relay(ws)
				case 2:
					_, _, _ = ws.ReadMessage()
				default:
					answer(ws, "HELLO")
					answer(ws, "SESSION_OK")
					waitForEnd(ws)
				}
			})
			c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
			call(t, c, "x")
			end.us(c)
			wantCallEnded(t, c, end.cause)
			wantReconnecting(t, c, "")
			wantEvent(t, c, signalling.Resumed{})
			call(t, c, "x")
		})
	}
}

// TestUIDHeldByItsCall comes back to a relay that is slow to end the call: that
// is not worth a word.
func TestUIDHeldByItsCall(t *testing.T) {
	url := relayThat(t, func(n int32, ws *websocket.Conn) {
		switch n {
		case 1:
			answer(ws, "HELLO")
			answer(ws, "SESSION_OK")
			waitForEnd(ws)
		case 2, 3, 4:
			answer(ws)
			closeWith(ws, websocket.CloseProtocolError, "invalid peer uid")
		default:
			answer(ws, "HELLO")
			answer(ws, "SESSION_OK", "hi")
			waitForEnd(ws)
		}
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	call(t, c, "x")
	hangUp(t, c)
	wantCallEnded(t, c, signalling.ErrHungUp)
	call(t, c, "x")
	wantEvent(t, c, signalling.CallMessage{Text: "hi"})
}

// TestCallHungUpIsNotResumed meets a relay that has no notice of the end of the
// call, and would give it back.
func TestCallHungUpIsNotResumed(t *testing.T) {
	secrets := make(chan string, 2)
	url := relayOf(t, func(w http.ResponseWriter, r *http.Request) {
		secrets <- r.URL.Query().Get(signalling.QueryResume)
		upgrade(t, w, r, func(ws *websocket.Conn) {
			answer(ws, "HELLO")
			answer(ws, "SESSION_OK")
			waitForEnd(ws)
		})
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	call(t, c, "x")
	hangUp(t, c)
	if first, second := <-secrets, <-secrets; first == second {
		t.Errorf("the secret was %q both times", first)
	}
}

// TestCallSurvivesReconnection has the relay go between SESSION and its answer.
func TestCallSurvivesReconnection(t *testing.T) {
	url := relayThat(t, func(n int32, ws *websocket.Conn) {
		answer(ws, "HELLO")
		if n == 1 {
			_, _, _ = ws.ReadMessage()
			return
		}
		answer(ws, "SESSION_OK", "hi")
		waitForEnd(ws)
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	call(t, c, "x")
	wantReconnecting(t, c, "")
	wantEvent(t, c, signalling.Resumed{})
	wantEvent(t, c, signalling.CallMessage{Text: "hi"})
}

// TestNoTextAfterTheCall has goroutines send until their call has ended: the
// relay of the next registration must get none of that, which it would take for
// commands.
func TestNoTextAfterTheCall(t *testing.T) {
	const calls = 12
	strays := make(chan string, 1)
	url := relayThat(t, func(n int32, ws *websocket.Conn) {
		answer(ws, "HELLO")
		_, message, err := ws.ReadMessage()
		if err == nil && !strings.HasPrefix(string(message), "SESSION ") {
			select {
			case strays <- string(message):
			default: // one is enough
			}
			return
		}
		_ = ws.WriteMessage(websocket.TextMessage, []byte("SESSION_OK"))
		for range 300 {
			_, _, _ = ws.ReadMessage()
		}
		if n%4 != 0 {
			closeWith(ws, websocket.CloseNormalClosure, "")
		}
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	for range calls {
		call(t, c, "x")
		var senders sync.WaitGroup
		for range 4 {
			senders.Go(func() { sendUntilNoCall(t, c) })
		}
		for {
			event, err := c.Recv(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := event.(signalling.CallEnded); ok {
				break
			}
		}
		senders.Wait()
	}
	call(t, c, "x") // which comes after any stray
	select {
	case stray := <-strays:
		t.Errorf("the relay got %q outside a call", stray)
	default:
	}
}

func sendUntilNoCall(t *testing.T, c *signalling.Client) {
	for {
		err := c.Send(testContext(t), "stray")
		if errors.Is(err, signalling.ErrNoCall) {
			return
		}
		if err != nil && !errors.Is(err, signalling.ErrDisconnected) {
			t.Error(err)
			return
		}
	}
}

// TestRelayThatAlwaysParts closes as after calls that nobody has heard of: only
// the first time is believed.
func TestRelayThatAlwaysParts(t *testing.T) {
	var attempts attemptCounter
	url := relayThat(t, func(_ int32, ws *websocket.Conn) {
		answer(ws, "HELLO")
		closeWith(ws, websocket.CloseNormalClosure, "")
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me", Log: slog.New(&attempts)})
	wantReconnecting(t, c, "1000")
	for range 2 {
		event, err := c.Recv(testContext(t))
		if event != (signalling.Resumed{}) {
			t.Fatalf("got %#v, %v; want Resumed", event, err)
		}
		event, err = c.Recv(testContext(t))
		if _, ok := event.(signalling.Reconnecting); !ok {
			t.Fatalf("got %#v, %v; want Reconnecting", event, err)
		}
	}
}

// TestCloseInCall closes clients in a call, connected or not.
func TestCloseInCall(t *testing.T) {
	relay, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	host := httptest.NewServer(relay.Handler())
	url := "ws" + strings.TrimPrefix(host.URL, "http")
	a, b := pairInCall(t, url, url)
	c, err := signalling.Dial(testContext(t), signalling.ClientConfig{URL: url, UID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	wantCallEnded(t, b, signalling.ErrPeerLeft)
	connect(t, c, b, "callee")
	relay.Close()
	host.Close()
	wantReconnecting(t, b, "")
	waiting := make(chan error, 1)
	go func() { waiting <- b.HangUp(context.Background()) }()
	eventually(t, "hanging up", func() bool { return errors.Is(b.Send(testContext(t), "x"), signalling.ErrNoCall) })
	for _, client := range []*signalling.Client{b, c} {
		client.Close()
	}
	if err := <-waiting; !errors.Is(err, signalling.ErrClosed) {
		t.Errorf("HangUp: %v, want ErrClosed", err)
	}
	if _, err := b.Recv(testContext(t)); !errors.Is(err, signalling.ErrClosed) {
		t.Errorf("Recv: %v, want ErrClosed", err)
	}
}
