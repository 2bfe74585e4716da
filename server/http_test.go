package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gstpeer/gstpeer/server"
)

// get asks a relay's HTTP side, without keeping the connection.
func get(t *testing.T, r *relay, path string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http"+strings.TrimPrefix(r.url, "ws")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestHealth(t *testing.T) {
	r := relayUnderTest(t)
	if response, body := get(t, r, "/health"); response.StatusCode != http.StatusOK || body != "OK\n" {
		t.Errorf("got %s %q, want 200 \"OK\\n\"", response.Status, body)
	}
}

func TestPage(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	response, body := get(t, r, "/?room=demo")
	if response.StatusCode != http.StatusOK || !strings.Contains(body, "<html") {
		t.Errorf("got %s %q, want the page", response.Status, body)
	}
	for name, want := range map[string]string{
		"Content-Type":            "text/html; charset=utf-8",
		"X-Content-Type-Options":  "nosniff",
		"Referrer-Policy":         "no-referrer",
		"Content-Security-Policy": "default-src 'none'; script-src 'self' 'sha256-",
	} {
		if got := response.Header.Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if policy := response.Header.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q allows what is unsafe", policy)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	for path, want := range map[string]int{"/missing": http.StatusNotFound, "/ws": http.StatusBadRequest, "/web.go": http.StatusNotFound} {
		if response, _ := get(t, r, path); response.StatusCode != want {
			t.Errorf("GET %s: %s, want %d", path, response.Status, want)
		}
	}
}

// TestHandler has the relay answer on a foreign HTTP server.
func TestHandler(t *testing.T) {
	s, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	host := httptest.NewServer(s.Handler())
	defer host.Close()
	r := &relay{url: "ws" + strings.TrimPrefix(host.URL, "http"), server: s}
	c := r.register(t, "guest")
	s.Close()
	c.wantClose(1001, "relay shuts down")
	for path, want := range map[string]int{
		"/ws":     http.StatusServiceUnavailable,
		"/ready":  http.StatusServiceUnavailable,
		"/health": http.StatusOK,
	} {
		if response, _ := get(t, r, path); response.StatusCode != want {
			t.Errorf("%s after Close: %s, want %d", path, response.Status, want)
		}
	}
}
