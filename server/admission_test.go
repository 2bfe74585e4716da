package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server"
)

// dialRefused wants the upgrade refused with the status, and with words that say why.
func (r *relay) dialRefused(t *testing.T, path string, header http.Header, status int, why string) {
	t.Helper()
	ws, response, err := websocket.DefaultDialer.Dial(r.url+path, header)
	if err == nil {
		ws.Close()
		t.Fatalf("dial %s: accepted, want status %d", path, status)
	}
	if response == nil {
		t.Fatalf("dial %s: %v, want status %d", path, err, status)
	}
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != status || !strings.Contains(string(body), why) {
		t.Errorf("dial %s: %s %q, want %d and %q", path, response.Status, body, status, why)
	}
}

func TestForeignOrigin(t *testing.T) {
	r := startRelay(t, server.Config{AllowedOrigins: []string{"https://app.example"}}, server.Patience{})
	r.dialRefused(t, "/ws", http.Header{"Origin": {"https://elsewhere.example"}}, http.StatusForbidden, "origin")
	for _, header := range []http.Header{
		nil,
		{"Origin": {"https://app.example"}},
		{"Origin": {"http" + strings.TrimPrefix(r.url, "ws")}},
	} {
		c := r.dialDeaf(t, "/ws", header)
		c.listen()
		c.hello(id("page"))
	}
}
