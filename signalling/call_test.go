package signalling_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/signalling"
)

func call(t *testing.T, c *signalling.Client, uid string) {
	t.Helper()
	if err := c.Call(testContext(t), uid); err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, c *signalling.Client, text string) {
	t.Helper()
	if err := c.Send(testContext(t), text); err != nil {
		t.Fatal(err)
	}
}

func hangUp(t *testing.T, c *signalling.Client) {
	t.Helper()
	if err := c.HangUp(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func wantCallEnded(t *testing.T, c *signalling.Client, cause error) {
	t.Helper()
	event, err := c.Recv(testContext(t))
	ended, ok := event.(signalling.CallEnded)
	if err != nil || !ok || !errors.Is(ended.Cause, cause) {
		t.Fatalf("got %#v, %v; want CallEnded because of %v", event, err, cause)
	}
}

// wantCallTexts waits for texts from..to-1 of the other peer, and nothing else.
func wantCallTexts(t *testing.T, c *signalling.Client, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		wantEvent(t, c, signalling.CallMessage{Text: fmt.Sprint(i)})
	}
}

// exchange sends texts from..to-1 both ways, and waits for them.
func exchange(t *testing.T, a, b *signalling.Client, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		send(t, a, fmt.Sprint(i))
		send(t, b, fmt.Sprint(i))
	}
	wantCallTexts(t, b, from, to)
	wantCallTexts(t, a, from, to)
}

// pairInCall gives two clients that have heard each other.
func pairInCall(t *testing.T, callerURL, calleeURL string) (caller, callee *signalling.Client) {
	t.Helper()
	callee = dial(t, signalling.ClientConfig{URL: calleeURL, UID: "callee"})
	caller = dial(t, signalling.ClientConfig{URL: callerURL, UID: "caller"})
	connect(t, caller, callee, "callee")
	return caller, callee
}

// connect makes a call in which both have heard each other.
func connect(t *testing.T, caller, callee *signalling.Client, uid string) {
	t.Helper()
	call(t, caller, uid)
	send(t, caller, "hello?")
	wantEvent(t, callee, signalling.CallMessage{Text: "hello?"})
	send(t, callee, "speaking")
	wantEvent(t, caller, signalling.CallMessage{Text: "speaking"})
}

func TestCall(t *testing.T) {
	url := startRelay(t, server.Config{})
	caller, callee := pairInCall(t, url, url)
	exchange(t, caller, callee, 0, 300) // far more than wait for Recv
	offer := signalling.Negotiation{Description: &signalling.Description{Type: signalling.Offer, SDP: "v=0\r\n"}}.String()
	for _, text := range []string{
		offer, signalling.OfferRequest, "", " leading", "two\nlines", "ERROR no", "ERROR peer 'x' not found", "HELLO",
		"ROOM_OK a", "SESSION_OK", "ROOM_PEER_MSG x y", "ROOM_PEER_JOINED x", "SESSION callee", "ROOM r",
		strings.Repeat("x", signalling.MaxMessage),
	} {
		send(t, caller, text)
		wantEvent(t, callee, signalling.CallMessage{Text: text})
		send(t, callee, text)
		wantEvent(t, caller, signalling.CallMessage{Text: text})
	}
	caller.Close()
	wantCallEnded(t, callee, signalling.ErrPeerLeft)
	if _, err := caller.Recv(testContext(t)); !errors.Is(err, signalling.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

// TestCallStartsWithAnything has callees whose first text says something that a
// relay could say.
func TestCallStartsWithAnything(t *testing.T) {
	url := startRelay(t, server.Config{})
	for i, text := range []string{"OFFER_REQUEST", "ERROR no", "ROOM_OK a", "SESSION_OK", "HELLO", "ROOM_PEER_MSG a b", "", "{}"} {
		uid := fmt.Sprint("callee", i)
		callee := dial(t, signalling.ClientConfig{URL: url, UID: uid})
		caller := dial(t, signalling.ClientConfig{URL: url, UID: fmt.Sprint("caller", i)})
		call(t, caller, uid)
		send(t, caller, text)
		wantEvent(t, callee, signalling.CallMessage{Text: text})
		send(t, callee, text)
		wantEvent(t, caller, signalling.CallMessage{Text: text})
	}
}

func TestCallRefused(t *testing.T) {
	url := startRelay(t, server.Config{})
	pairInCall(t, url, url)
	member := dial(t, signalling.ClientConfig{URL: url, UID: "member"})
	join(t, member, "room")
	dial(t, signalling.ClientConfig{URL: url, UID: "viewer", Role: signalling.RoleViewer})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "c"})
	for _, refused := range []struct {
		uid  string
		want error
		says string
	}{
		{"nobody", signalling.ErrPeerNotFound, `"nobody": the relay says: peer 'nobody' not found`},
		{"caller", signalling.ErrPeerBusy, "peer 'caller' busy"},
		{"callee", signalling.ErrPeerBusy, "peer 'callee' busy"},
		{"member", signalling.ErrPeerBusy, "peer 'member' busy"},
		{"viewer", signalling.ErrCall, "viewers"},
		{"c", signalling.ErrCall, "itself"},
		{"a b", signalling.ErrInvalidUID, "white space"},
		{"", signalling.ErrInvalidUID, "empty"},
	} {
		err := c.Call(testContext(t), refused.uid)
		if !errors.Is(err, refused.want) || !strings.Contains(fmt.Sprint(err), refused.says) {
			t.Errorf("calling %q: %v; want %v that says %q", refused.uid, err, refused.want, refused.says)
		}
		for _, other := range []error{signalling.ErrPeerNotFound, signalling.ErrPeerBusy} {
			if errors.Is(err, other) && other != refused.want {
				t.Errorf("calling %q: %v is %v", refused.uid, err, other)
			}
		}
		if errors.Is(refused.want, signalling.ErrCall) != errors.Is(err, signalling.ErrCall) {
			t.Errorf("calling %q: %v", refused.uid, err)
		}
	}
	if err := member.Call(testContext(t), "c"); !errors.Is(err, signalling.ErrCall) || !strings.Contains(err.Error(), "room") {
		t.Errorf("a member of a room calls: %v, want ErrCall", err)
	}
	d := dial(t, signalling.ClientConfig{URL: url, UID: "d"})
	connect(t, c, d, "d") // nothing of that is in the way
}

func TestOutsideACall(t *testing.T) {
	url := startRelay(t, server.Config{})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "c"})
	if err := c.Send(testContext(t), "x"); !errors.Is(err, signalling.ErrNoCall) {
		t.Errorf("Send: %v, want ErrNoCall", err)
	}
	if err := c.HangUp(testContext(t)); !errors.Is(err, signalling.ErrNoCall) {
		t.Errorf("HangUp: %v, want ErrNoCall", err)
	}
	if err := c.SendTo(testContext(t), "x", "y"); !errors.Is(err, signalling.ErrNoRoom) {
		t.Errorf("SendTo: %v, want ErrNoRoom", err)
	}
	dial(t, signalling.ClientConfig{URL: url, UID: "d"})
	call(t, c, "d")
	if err := c.Call(testContext(t), "d"); !errors.Is(err, signalling.ErrCall) {
		t.Errorf("Call in a call: %v, want ErrCall", err)
	}
	if _, err := c.Join(testContext(t), "room"); !errors.Is(err, signalling.ErrJoin) {
		t.Errorf("Join in a call: %v, want ErrJoin", err)
	}
	if err := c.SendTo(testContext(t), "x", "y"); !errors.Is(err, signalling.ErrNoRoom) {
		t.Errorf("SendTo in a call: %v, want ErrNoRoom", err)
	}
	for _, text := range []string{"\xff", strings.Repeat("x", signalling.MaxMessage+1)} {
		if err := c.Send(testContext(t), text); !errors.Is(err, signalling.ErrMessage) {
			t.Errorf("Send of %.10q: %v, want ErrMessage", text, err)
		}
	}
	c.Close()
	for what, err := range map[string]error{
		"Send":   c.Send(testContext(t), "x"),
		"HangUp": c.HangUp(testContext(t)),
	} {
		if !errors.Is(err, signalling.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
}

// TestCallUnanswered gives a call up that the relay does not answer.
func TestCallUnanswered(t *testing.T) {
	asked := make(chan struct{})
	url := relayThat(t, func(n int32, ws *websocket.Conn) {
		answer(ws, "HELLO")
		if n == 1 {
			_, _, _ = ws.ReadMessage()
			close(asked)
		} else {
			answer(ws, "SESSION_OK", "hi")
		}
		waitForEnd(ws)
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if err := c.Call(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := c.Call(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled at once", err)
	}
	wantCallEnded(t, c, signalling.ErrHungUp)
	call(t, c, "x")
	wantEvent(t, c, signalling.CallMessage{Text: "hi"})
}

// relayThat is a fakeRelay that numbers its connections from 1.
func relayThat(t *testing.T, serve func(n int32, ws *websocket.Conn)) string {
	t.Helper()
	connections := atomic.Int32{}
	return fakeRelay(t, func(ws *websocket.Conn) { serve(connections.Add(1), ws) })
}

// TestCallsCross calls at the moment in which another peer does: that one has
// the call, and gets our SESSION.
func TestCallsCross(t *testing.T) {
	url := fakeRelay(t, func(ws *websocket.Conn) {
		answer(ws, "HELLO")
		answer(ws, `{"sdp":{}}`)
		answer(ws, "SESSION_OK")
		waitForEnd(ws)
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	if err := c.Call(testContext(t), "x"); !errors.Is(err, signalling.ErrCall) || !strings.Contains(err.Error(), "called first") {
		t.Errorf("got %v, want ErrCall because another peer called first", err)
	}
	wantEvent(t, c, signalling.CallMessage{Text: `{"sdp":{}}`})
	send(t, c, "which one are you?")
	wantEvent(t, c, signalling.CallMessage{Text: "SESSION_OK"})
}

// TestCalledBeforeJoin is called before its ROOM is there, which thus goes to the
// caller: the client hangs up on that one, and asks again.
func TestCalledBeforeJoin(t *testing.T) {
	url := relayThat(t, func(n int32, ws *websocket.Conn) {
		answer(ws, "HELLO")
		if n == 1 {
			answer(ws, "OFFER_REQUEST")
		} else {
			answer(ws, "ROOM_OK a", "ROOM_PEER_JOINED b")
		}
		waitForEnd(ws)
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	join(t, c, "room", "a")
	wantEvent(t, c, signalling.PeerJoined{UID: "b"})
}

// TestCalledBeforeRejoin is the same while a client comes back to its room.
func TestCalledBeforeRejoin(t *testing.T) {
	url := relayThat(t, func(n int32, ws *websocket.Conn) {
		answer(ws, "HELLO")
		switch n {
		case 1:
			answer(ws, "ROOM_OK a")
			return
		case 2:
			answer(ws, "OFFER_REQUEST")
		default:
			answer(ws, "ROOM_OK b")
		}
		waitForEnd(ws)
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	join(t, c, "room", "a")
	wantReconnecting(t, c, "")
	wantRejoined(t, c, "b")
}

// TestBinaryInCall drops binary messages of the other peer, also the first.
func TestBinaryInCall(t *testing.T) {
	url := startRelay(t, server.Config{})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "c"})
	other := dialRaw(t, url, "other")
	other.say("SESSION c", "SESSION_OK")
	if err := other.ws.WriteMessage(websocket.BinaryMessage, []byte("\xff")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "call", func() bool { return c.Send(testContext(t), "hi") == nil })
	other.want("hi")
	if err := other.ws.WriteMessage(websocket.TextMessage, []byte("0")); err != nil {
		t.Fatal(err)
	}
	wantCallTexts(t, c, 0, 1)
	other.ws.Close()
	wantCallEnded(t, c, signalling.ErrPeerLeft)
}

// raw is a peer that speaks the protocol by hand, and cannot resume.
type raw struct {
	t  *testing.T
	ws *websocket.Conn
}

func dialRaw(t *testing.T, url, uid string) raw {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.DialContext(testContext(t), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	r := raw{t, ws}
	r.say("HELLO "+uid, "HELLO")
	return r
}

// say sends a text, and waits for the answer.
func (r raw) say(text, answer string) {
	r.t.Helper()
	if err := r.ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		r.t.Fatal(err)
	}
	r.want(answer)
}

func (r raw) want(text string) {
	r.t.Helper()
	if err := r.ws.SetReadDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	if _, got, err := r.ws.ReadMessage(); err != nil || string(got) != text {
		r.t.Fatalf("got %q, %v; want %q", got, err, text)
	}
}

// TestPartnerVanishes ends a call with the other peer's connection, or with its
// grace period.
func TestPartnerVanishes(t *testing.T) {
	url := startRelay(t, server.Config{})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "c"})
	for range 20 {
		other := dialRaw(t, url, "other")
		call(t, c, "other")
		send(t, c, "hi")
		other.want("hi")
		other.ws.NetConn().Close()
		wantCallEnded(t, c, signalling.ErrPeerLeft)
	}
}

// TestCallersWithoutAWord hang up before their first text.
func TestCallersWithoutAWord(t *testing.T) {
	url := startRelay(t, server.Config{})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "c"})
	caller := dial(t, signalling.ClientConfig{URL: url, UID: "caller"})
	call(t, caller, "c")
	hangUp(t, caller)
	wantCallEnded(t, caller, signalling.ErrHungUp)
	for {
		err := caller.Call(testContext(t), "c")
		if err == nil {
			break
		}
		if !errors.Is(err, signalling.ErrPeerNotFound) { // it is on its way back
			t.Fatal(err)
		}
	}
	send(t, caller, "0")
	wantCallTexts(t, c, 0, 1)
}

func TestManyCalls(t *testing.T) {
	url := startRelay(t, server.Config{})
	a, b := pairInCall(t, url, url)
	before := runtime.NumGoroutine()
	start := time.Now()
	for i := range 100 {
		ends, other := a, b
		if i%2 == 0 {
			ends, other = b, a
		}
		hangUp(t, ends)
		wantCallEnded(t, ends, signalling.ErrHungUp)
		wantCallEnded(t, other, signalling.ErrPeerLeft)
		connect(t, a, b, "callee")
	}
	if took := time.Since(start); took > patience { // with waiting times it would be minutes
		t.Errorf("100 calls took %v", took)
	}
	eventually(t, "return to as many goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

func TestConcurrentSend(t *testing.T) {
	url := startRelay(t, server.Config{})
	a, b := pairInCall(t, url, url)
	const senders, texts = 8, 200
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for i := range texts {
				if err := a.Send(testContext(t), fmt.Sprintf("%d %d", s, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var next [senders]int
	for range senders * texts {
		event, err := b.Recv(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		var s, i int
		if _, err := fmt.Sscan(event.(signalling.CallMessage).Text, &s, &i); err != nil || i != next[s] {
			t.Fatalf("got %v, want text %d of that sender", event, next[s])
		}
		next[s]++
	}
	all.Wait()
}
