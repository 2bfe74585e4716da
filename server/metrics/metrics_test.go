package metrics

import (
	"context"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/gstpeer/gstpeer/server"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// scrape gives the metrics as Prometheus reads them.
func scrape(t *testing.T, registry prometheus.Gatherer) string {
	t.Helper()
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(answer.Result().Body)
	if err != nil || answer.Code != 200 {
		t.Fatalf("status %d, %v", answer.Code, err)
	}
	return string(body)
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := New(registry)
	relay, err := server.New(server.Config{RelayTime: m.RelayTime})
	if err != nil {
		t.Fatal(err)
	}
	m.Watch(relay)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- relay.Serve(ctx, listener) }()

	a, b := dial(t, listener.Addr()), dial(t, listener.Addr())
	say(t, a, "HELLO a", "HELLO")
	say(t, b, "HELLO b", "HELLO")
	say(t, a, "SESSION b", "SESSION_OK")
	for range 32 {
		write(t, a, "hi")
		read(t, b, "hi")
	}
	stranger := dial(t, listener.Addr())
	say(t, stranger, "HELP", "ERROR invalid protocol")

	said := scrape(t, registry)
	for _, want := range []string{
		"gstpeer_connections ", "gstpeer_peers 2", "gstpeer_sessions 1", "gstpeer_rooms 0", "gstpeer_queue_messages ",
		`gstpeer_received_messages_total{kind="session"} 32`, `gstpeer_received_bytes_total{kind="session"} 64`,
		`gstpeer_received_messages_total{kind="command"} 1`, `gstpeer_refusals_total{reason="protocol"} 1`,
		`gstpeer_refusals_total{reason="token"} 0`, "gstpeer_relay_seconds_bucket",
	} {
		if !strings.Contains(said, "\n"+want) {
			t.Errorf("no line begins with %q in:\n%s", want, said)
		}
	}
	if strings.Contains(said, "\ngstpeer_relay_seconds_count 0") {
		t.Error("no message was timed, want every 16th")
	}
	problems, err := promlint.New(strings.NewReader(said)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	for _, ws := range []*websocket.Conn{a, b, stranger} {
		ws.Close()
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func dial(t *testing.T, address net.Addr) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+address.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	return ws
}

func say(t *testing.T, ws *websocket.Conn, text, answer string) {
	t.Helper()
	write(t, ws, text)
	read(t, ws, answer)
}

func write(t *testing.T, ws *websocket.Conn, text string) {
	t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, ws *websocket.Conn, want string) {
	t.Helper()
	if _, got, err := ws.ReadMessage(); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}
