package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	answer := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/health" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			http.Error(w, "what it says", status)
		})
	}
	well, ill := httptest.NewServer(answer(http.StatusOK)), httptest.NewServer(answer(http.StatusServiceUnavailable))
	secure := httptest.NewTLSServer(answer(http.StatusOK))
	mute := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	gone := httptest.NewServer(nil)
	for _, server := range []*httptest.Server{well, ill, secure, mute} {
		t.Cleanup(server.Close)
	}
	gone.Close()
	address := func(server *httptest.Server) string { return server.Listener.Addr().String() }
	_, port, _ := strings.Cut(address(well), ":")
	for _, c := range []struct {
		name  string
		asked Asked
		code  int
		says  string
	}{
		{"healthy", Asked{Address: address(well)}, 0, ""},
		{"of every address", Asked{Address: ":" + port}, 0, ""},
		{"of every IPv4 address", Asked{Address: "0.0.0.0:" + port}, 0, ""},
		{"with TLS", Asked{Address: address(secure), TLS: true, Domain: "relay.example.org"}, 0, ""},
		{"ill", Asked{Address: address(ill)}, 1, "not healthy: http://127.0.0.1:.*/health answers 503 Service Unavailable: what it says"},
		{"not there", Asked{Address: address(gone)}, 1, "connection refused"},
		{"mute", Asked{Address: address(mute)}, 1, "context deadline exceeded"},
		{"no address", Asked{Address: "8443"}, 2, "want the HOST:PORT"},
		{"any port", Asked{Address: ":0"}, 2, "name the one that the program listens on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var stdout strings.Builder
			err := Health(t.Context(), c.asked, &stdout)
			if code := Report(io.Discard, "test", err); code != c.code {
				t.Errorf("exit code %d, want %d: %v", code, c.code, err)
			}
			if healthy := stdout.String() == "healthy\n"; healthy != (c.code == 0) {
				t.Errorf("says %q", stdout.String())
			}
			if c.says != "" && !regexp.MustCompile(c.says).MatchString(err.Error()) {
				t.Errorf("error %q, want %s", err, c.says)
			}
		})
	}
}
