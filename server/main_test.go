package server_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/gstpeer/gstpeer/internal/load"
	"github.com/gstpeer/gstpeer/server"
)

// patience is how long a test waits for what must happen. It is long since the
// machine may be busy; no test passes by waiting for it.
const patience = 20 * time.Second

// longTests tells whether there is time for more than the short form of a test.
func longTests() bool {
	return os.Getenv("GSTPEER_LONG") != ""
}

func TestMain(m *testing.M) {
	if program := os.Getenv(asProgram); program != "" {
		fmt.Fprintln(os.Stderr, load.Serve(program, os.Getenv(asProgramAt)))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// relay is the relay under test: one of ours, or any other by its URL.
type relay struct {
	url    string         // ws://host:port or wss://host:port
	server *server.Server // nil for another relay
	tls    *tls.Config    // of clients; nil to trust whom the system trusts

	// dialNet makes connections; nil for TCP.
	dialNet func(ctx context.Context, network, address string) (net.Conn, error)
}

// relayUnderTest starts a relay of ours, unless GSTPEER_RELAY_URL names one.
func relayUnderTest(t *testing.T) *relay {
	t.Helper()
	if url := os.Getenv("GSTPEER_RELAY_URL"); url != "" {
		return &relay{url: strings.TrimSuffix(url, "/")}
	}
	return startRelay(t, server.Config{}, server.Patience{})
}

// startRelay serves on a free port until the test ends.
func startRelay(t testing.TB, config server.Config, p server.Patience) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &relay{url: "ws://" + listener.Addr().String(), server: serve(t, config, p, listener)}
}

// startRelayInBubble is startRelay for a bubble of synctest, which knows when
// nothing more happens on a pipe, but not on a socket.
func startRelayInBubble(t testing.TB, config server.Config, p server.Patience) *relay {
	t.Helper()
	listener := &pipeListener{made: make(chan net.Conn), closed: make(chan struct{})}
	return &relay{url: "ws://pipe", server: serve(t, config, p, listener), dialNet: listener.dial}
}

// pipeListener accepts what is dialled in the same process.
type pipeListener struct {
	made   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.made <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.made:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// serve has a relay answer on the listener until the test ends.
func serve(t testing.TB, config server.Config, p server.Patience, listener net.Listener) *server.Server {
	t.Helper()
	s, err := server.NewImpatient(config, p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

var lastID atomic.Int64

// id makes a name unique, so that tests can share a relay.
func id(name string) string {
	return fmt.Sprintf("%s-%d-%d", name, os.Getpid(), lastID.Add(1))
}

// client is a plain WebSocket client that reads all the time, unless it is deaf.
type client struct {
	t    *testing.T
	ws   *websocket.Conn
	uid  string
	room string
	came chan arrival
}

type arrival struct {
	kind int
	text string
	err  error // the end; nothing comes after it
}

// dialDeaf connects a client that reads nothing.
func (r *relay) dialDeaf(t *testing.T, path string, header http.Header) *client {
	t.Helper()
	dialer := websocket.Dialer{TLSClientConfig: r.tls, HandshakeTimeout: patience, NetDialContext: r.dialNet}
	ws, response, err := dialer.Dial(r.url+path, header)
	if err != nil {
		t.Fatalf("dial %s%s: %v (%v)", r.url, path, err, response)
	}
	c := &client{t: t, ws: ws, came: make(chan arrival, 1024)}
	t.Cleanup(func() { ws.Close() })
	return c
}

func (r *relay) dial(t *testing.T, path string) *client {
	t.Helper()
	c := r.dialDeaf(t, path, nil)
	c.listen()
	return c
}

// listen begins to read.
func (c *client) listen() {
	go func() {
		defer close(c.came)
		for {
			kind, message, err := c.ws.ReadMessage()
			c.came <- arrival{kind, string(message), err}
			if err != nil {
				return
			}
		}
	}()
	c.t.Cleanup(func() {
		c.ws.Close()
		for range c.came { // until the reader has ended
		}
	})
}

// register connects a client with a unique uid made from name.
func (r *relay) register(t *testing.T, name string) *client {
	t.Helper()
	c := r.dial(t, "/")
	c.hello(id(name))
	return c
}

// viewer is register, with the role of a viewer.
func (r *relay) viewer(t *testing.T, name string) *client {
	t.Helper()
	c := r.dial(t, "/?role=viewer")
	c.hello(id(name))
	return c
}

func (c *client) hello(uid string) {
	c.t.Helper()
	c.uid = uid
	c.send("HELLO " + uid)
	c.want("HELLO")
}

// enter joins a room; others are the members it must be told of, in any order.
func (c *client) enter(room string, others ...*client) {
	c.t.Helper()
	c.room = room
	c.send("ROOM " + room)
	c.wantMembers("ROOM_OK ", others...)
}

func (c *client) wantMembers(prefix string, members ...*client) {
	c.t.Helper()
	a := c.next()
	list, ok := strings.CutPrefix(a.text, prefix)
	got := map[string]bool{}
	for _, uid := range strings.Fields(list) {
		got[uid] = true
	}
	for _, m := range members {
		ok = ok && got[m.uid]
	}
	if !ok || len(got) != len(members) {
		uids := make([]string, len(members))
		for i, m := range members {
			uids[i] = m.uid
		}
		c.t.Fatalf("%s: got %q, want %q with %q", c.uid, a.text, prefix, uids)
	}
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		c.t.Fatalf("%s: send: %v", c.uid, err)
	}
}

func (c *client) sendBinary(payload string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.BinaryMessage, []byte(payload)); err != nil {
		c.t.Fatalf("%s: send: %v", c.uid, err)
	}
}

// sendRaw writes bytes as they are, past the WebSocket.
func (c *client) sendRaw(frame []byte) {
	c.t.Helper()
	if _, err := c.ws.NetConn().Write(frame); err != nil {
		c.t.Fatalf("%s: send raw: %v", c.uid, err)
	}
}

// next waits for what comes next, the end of the connection included.
func (c *client) next() arrival {
	c.t.Helper()
	select {
	case a, ok := <-c.came:
		if !ok {
			c.t.Fatalf("%s: waited for a message after the end of the connection", c.uid)
		}
		return a
	case <-time.After(patience):
		c.t.Fatalf("%s: nothing came in %v", c.uid, patience)
		return arrival{}
	}
}

// want asserts that the next message is this text.
func (c *client) want(text string) {
	c.t.Helper()
	a := c.next()
	if a.err != nil || a.kind != websocket.TextMessage || a.text != text {
		c.t.Fatalf("%s: got %s, want text %s", c.uid, a, abridge(text))
	}
}

func (c *client) wantBinary(payload string) {
	c.t.Helper()
	a := c.next()
	if a.err != nil || a.kind != websocket.BinaryMessage || a.text != payload {
		c.t.Fatalf("%s: got %s, want binary %s", c.uid, a, abridge(payload))
	}
}

// wantError asserts that an ERROR comes next, in whatever words.
func (c *client) wantError() {
	c.t.Helper()
	if a := c.next(); a.err != nil || !strings.HasPrefix(a.text, "ERROR ") {
		c.t.Fatalf("%s: got %s, want ERROR …", c.uid, a)
	}
}

// wantClose asserts that the relay's close frame comes next.
func (c *client) wantClose(code int, reason string) {
	c.t.Helper()
	a := c.next()
	closed, ok := a.err.(*websocket.CloseError)
	if !ok || closed.Code != code || reason != "" && closed.Text != reason {
		c.t.Fatalf("%s: got %s, want close %d %q", c.uid, a, code, reason)
	}
}

// wantNothing asserts that all that has come is known, and that the relay still
// listens: the answer to a command that is none comes next. Not in a session.
func (c *client) wantNothing() {
	c.t.Helper()
	c.send("NOTHING")
	c.wantError()
}

// leave says goodbye and waits for the answer.
func (c *client) leave() {
	c.t.Helper()
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := c.ws.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(patience)); err != nil {
		c.t.Fatalf("%s: leave: %v", c.uid, err)
	}
	for c.next().err == nil {
	}
}

func (a arrival) String() string {
	if a.err != nil {
		return fmt.Sprintf("end of connection: %v", a.err)
	}
	return fmt.Sprintf("kind %d %s", a.kind, abridge(a.text))
}

func abridge(text string) string {
	if len(text) > 200 {
		return fmt.Sprintf("%q… (%d bytes)", text[:200], len(text))
	}
	return fmt.Sprintf("%q", text)
}
