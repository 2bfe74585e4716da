package signalling_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/signalling"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience bounds what must happen; no test passes by waiting for it.
const patience = 20 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// startRelay gives the URL of a relay that ends with the test.
func startRelay(t *testing.T, config server.Config) string {
	t.Helper()
	relay, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	host := httptest.NewServer(relay.Handler())
	t.Cleanup(host.Close)
	t.Cleanup(relay.Close)
	return "ws" + strings.TrimPrefix(host.URL, "http")
}

func dial(t *testing.T, config signalling.ClientConfig) *signalling.Client {
	t.Helper()
	c, err := signalling.Dial(testContext(t), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func join(t *testing.T, c *signalling.Client, room string, want ...string) {
	t.Helper()
	members, err := c.Join(testContext(t), room)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(members, " ") != strings.Join(want, " ") {
		t.Fatalf("members %q, want %q", members, want)
	}
}

func wantEvent(t *testing.T, c *signalling.Client, want signalling.Event) {
	t.Helper()
	got, err := c.Recv(testContext(t))
	if err != nil || got != want {
		t.Fatalf("got %#v, %v; want %#v", got, err, want)
	}
}

func sendTo(t *testing.T, c *signalling.Client, uid, text string) {
	t.Helper()
	if err := c.SendTo(testContext(t), uid, text); err != nil {
		t.Fatal(err)
	}
}

// TestClientCloseUnanswered closes a client whose relay does not read.
func TestClientCloseUnanswered(t *testing.T) {
	over := make(chan struct{})
	url := fakeRelay(t, func(ws *websocket.Conn) {
		answer(ws, "HELLO")
		answer(ws, "ROOM_OK")
		<-over
	})
	t.Cleanup(func() { close(over) })
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	join(t, c, "room")
	for range 30 { // more than fits into sockets, so that the writing is stuck
		sendTo(t, c, "x", strings.Repeat("x", signalling.MaxMessage-100))
	}
	start := time.Now()
	c.Close()
	if took := time.Since(start); took > 8*time.Second { // less than for a message
		t.Errorf("Close took %v, want 2s", took)
	}
}

func TestClientMessagesThatCannotBeSent(t *testing.T) {
	url := startRelay(t, server.Config{})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "c"})
	join(t, c, "room")
	for _, m := range []struct {
		uid, text string
		want      error
	}{
		{"a b", "", signalling.ErrInvalidUID},
		{"c", strings.Repeat("x", signalling.MaxMessage), signalling.ErrMessage},
		{"c", "\xff", signalling.ErrMessage},
	} {
		if err := c.SendTo(testContext(t), m.uid, m.text); !errors.Is(err, m.want) {
			t.Errorf("to %q: %v, want %v", m.uid, err, m.want)
		}
	}
	longest := strings.Repeat("x", signalling.MaxMessage-len("ROOM_PEER_MSG c "))
	sendTo(t, c, "c", longest)
	wantEvent(t, c, signalling.Message{From: "c", Text: longest})
}

func TestClientClose(t *testing.T) {
	url := startRelay(t, server.Config{})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "c"})
	waiting := make(chan error)
	go func() {
		_, err := c.Recv(context.Background())
		waiting <- err
	}()
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(c.Close)
	}
	closers.Wait()
	if err := <-waiting; !errors.Is(err, signalling.ErrClosed) {
		t.Errorf("Recv: %v, want ErrClosed", err)
	}
	if err := c.SendTo(testContext(t), "x", "y"); !errors.Is(err, signalling.ErrClosed) {
		t.Errorf("SendTo: %v, want ErrClosed", err)
	}
	if _, err := c.Join(testContext(t), "room"); !errors.Is(err, signalling.ErrClosed) {
		t.Errorf("Join: %v, want ErrClosed", err)
	}
	dial(t, signalling.ClientConfig{URL: url, UID: "c"}) // the name is free at once
}

func TestClientContexts(t *testing.T) {
	url := startRelay(t, server.Config{})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "c"})
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Recv(over); !errors.Is(err, context.Canceled) {
		t.Errorf("Recv: %v, want context.Canceled", err)
	}
	if _, err := signalling.Dial(over, signalling.ClientConfig{URL: url, UID: "d"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial: %v, want context.Canceled", err)
	}
}

// relayOf makes a relay of a handler, which has ended when the test has.
func relayOf(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	var serving sync.WaitGroup
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serving.Add(1)
		defer serving.Done()
		handle(w, r)
	}))
	t.Cleanup(func() {
		host.Close()
		serving.Wait()
	})
	return "ws" + strings.TrimPrefix(host.URL, "http")
}

// fakeRelay accepts WebSockets and leaves them to serve.
func fakeRelay(t *testing.T, serve func(*websocket.Conn)) string {
	t.Helper()
	return relayOf(t, func(w http.ResponseWriter, r *http.Request) { upgrade(t, w, r, serve) })
}

func upgrade(t *testing.T, w http.ResponseWriter, r *http.Request, serve func(*websocket.Conn)) {
	ws, err := new(websocket.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer ws.Close()
	serve(ws)
}

// answer reads one message and writes others.
func answer(ws *websocket.Conn, replies ...string) {
	_, _, _ = ws.ReadMessage()
	for _, reply := range replies {
		_ = ws.WriteMessage(websocket.TextMessage, []byte(reply)) // a client that is gone fails its own test
	}
}

func waitForEnd(ws *websocket.Conn) {
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			return
		}
	}
}

func closeWith(ws *websocket.Conn, code int, reason string) {
	frame := websocket.FormatCloseMessage(code, reason)
	_ = ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(patience))
	waitForEnd(ws)
}

// wantReconnecting waits for the loss of the connection, and what is said of it.
func wantReconnecting(t *testing.T, c *signalling.Client, says string) {
	t.Helper()
	event, err := c.Recv(testContext(t))
	lost, ok := event.(signalling.Reconnecting)
	if err != nil || !ok || !errors.Is(lost.Cause, signalling.ErrDisconnected) || !strings.Contains(lost.Cause.Error(), says) {
		t.Fatalf("got %#v, %v; want Reconnecting because of ErrDisconnected with %q", event, err, says)
	}
}

func TestClientNoticesDeadRelay(t *testing.T) {
	over := make(chan struct{})
	url := fakeRelay(t, func(ws *websocket.Conn) {
		answer(ws, "HELLO")
		<-over // reads nothing, so answers no ping
	})
	t.Cleanup(func() { close(over) })
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me", Keepalive: 50 * time.Millisecond})
	wantReconnecting(t, c, "no sign of life")
}

func TestClientAnswersPings(t *testing.T) {
	pong := make(chan string, 1)
	url := fakeRelay(t, func(ws *websocket.Conn) {
		answer(ws, "HELLO")
		ws.SetPongHandler(func(payload string) error {
			pong <- payload
			return nil
		})
		_ = ws.WriteControl(websocket.PingMessage, []byte("there?"), time.Now().Add(patience))
		waitForEnd(ws)
	})
	dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	select {
	case got := <-pong:
		if got != "there?" {
			t.Errorf("pong %q", got)
		}
	case <-time.After(patience):
		t.Error("no pong")
	}
}

// TestClientStuckConsumer has far more come than the client keeps: it stops
// reading, the relay's bound ends the connection, and what was kept is in order.
// Once the consumer goes on, so does the client.
func TestClientStuckConsumer(t *testing.T) {
	url := startRelay(t, server.Config{Limits: server.Limits{QueuedBytes: 1 << 20}})
	stuck := dial(t, signalling.ClientConfig{URL: url, UID: "stuck"})
	join(t, stuck, "room")
	sender := dial(t, signalling.ClientConfig{URL: url, UID: "sender"})
	join(t, sender, "room", "stuck")
	filler := strings.Repeat("x", 128<<10)
	sent := 0
	for {
		sendTo(t, sender, "stuck", fmt.Sprintf("%d %s", sent, filler))
		sent++
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		event, err := sender.Recv(ctx)
		cancel()
		if event == (signalling.PeerLeft{UID: "stuck"}) {
			break
		}
		if !errors.Is(err, context.DeadlineExceeded) || sent > 2000 {
			t.Fatalf("after %d messages: %v, %v; want the stuck peer to be dropped", sent, event, err)
		}
	}
	wantEvent(t, stuck, signalling.PeerJoined{UID: "sender"})
	for i := range sent {
		event, err := stuck.Recv(testContext(t))
		if _, ok := event.(signalling.Reconnecting); ok && i >= 64 {
			wantRejoined(t, stuck, "sender")
			return
		}
		message, _ := event.(signalling.Message)
		if err != nil || !strings.HasPrefix(message.Text, fmt.Sprintf("%d ", i)) {
			t.Fatalf("event %d: %T, %v", i, event, err)
		}
	}
	t.Error("all came, though the relay gave up")
}

func TestDialErrors(t *testing.T) {
	url := startRelay(t, server.Config{})
	dial(t, signalling.ClientConfig{URL: url, UID: "taken"})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := listener.Addr().String()
	listener.Close()
	refusing := fakeRelay(t, func(ws *websocket.Conn) { // as the original relay does
		_, _, _ = ws.ReadMessage()
		closeWith(ws, websocket.CloseProtocolError, "invalid peer uid")
	})
	other := fakeRelay(t, func(ws *websocket.Conn) {
		answer(ws, "welcome to the chat")
		waitForEnd(ws)
	})
	overTLS := httptest.NewUnstartedServer(http.NotFoundHandler())
	overTLS.Config.ErrorLog = log.New(io.Discard, "", 0) // what it says is expected
	overTLS.StartTLS()
	defer overTLS.Close()
	for _, c := range []struct {
		url, uid string
		want     error
		says     string
	}{
		{url, "", signalling.ErrInvalidUID, "empty"},
		{url, "a b", signalling.ErrInvalidUID, "white space"},
		{url, "taken", signalling.ErrUIDRefused, "choose another --name"},
		{refusing, "x", signalling.ErrUIDRefused, "choose another --name"},
		{other, "x", signalling.ErrDial, "is it a relay?"},
		{url + "/missing", "x", signalling.ErrDial, "HTTP 404"},
		{"ws://" + free, "x", signalling.ErrDial, "is the relay running there?"},
		{"wss" + strings.TrimPrefix(url, "ws"), "x", signalling.ErrDial, "try ws://"},
		{"wss" + strings.TrimPrefix(overTLS.URL, "https"), "x", signalling.ErrDial, "--ca-file"},
		{"ws" + strings.TrimPrefix(overTLS.URL, "https"), "x", signalling.ErrDial, "HTTP 400"},
		{"localhost:8443", "x", signalling.ErrURL, "want ws://host:port"},
		{"127.0.0.1:8443", "x", signalling.ErrURL, ""},
		{"ftp://host", "x", signalling.ErrURL, "want ws://host:port"},
		{"ws://", "x", signalling.ErrURL, "names no host"},
		{"ws://:8443", "x", signalling.ErrURL, "names no host"},
		{"ws://me:secret@host", "x", signalling.ErrURL, "password"},
		{"ftp://host?token=secret", "x", signalling.ErrURL, "want ws://host:port"},
		{"ws://?token=secret", "x", signalling.ErrURL, "names no host"},
		{"ws://host:port?token=secret", "x", signalling.ErrURL, "invalid port"},
		{url + "/missing?token=secret", "x", signalling.ErrDial, "HTTP 404"},
		{"", "x", signalling.ErrURL, "want ws://host:port"},
	} {
		client, err := signalling.Dial(testContext(t), signalling.ClientConfig{URL: c.url, UID: c.uid})
		if err == nil {
			client.Close()
		}
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%q as %q: %v; want %v that says %q", c.url, c.uid, err, c.want, c.says)
		}
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

func TestDialUnansweredRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	url := relayOf(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := signalling.Dial(ctx, signalling.ClientConfig{URL: url, UID: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestDialUnansweredHello(t *testing.T) {
	helloCame := make(chan struct{})
	url := fakeRelay(t, func(ws *websocket.Conn) {
		_, _, _ = ws.ReadMessage()
		close(helloCame)
		waitForEnd(ws)
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-helloCame
		cancel()
	}()
	if _, err := signalling.Dial(ctx, signalling.ClientConfig{URL: url, UID: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestClientOverTLS(t *testing.T) {
	relay, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	host := httptest.NewTLSServer(relay.Handler())
	defer host.Close()
	defer relay.Close()
	config := host.Client().Transport.(*http.Transport).TLSClientConfig
	for uid, scheme := range map[string]string{"a": "wss", "b": "https"} {
		url := scheme + strings.TrimPrefix(host.URL, "https")
		c := dial(t, signalling.ClientConfig{URL: url, UID: uid, TLS: func() *tls.Config { return config }})
		join(t, c, "room-"+uid)
		sendTo(t, c, uid, "note to self")
		wantEvent(t, c, signalling.Message{From: uid, Text: "note to self"})
	}
}
