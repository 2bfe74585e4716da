package server_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/server/token"
)

// iceAnswer is an RTCConfiguration as a browser reads it.
type iceAnswer struct {
	ICEServers []struct {
		URLs                 []string
		Username, Credential string
	}
	TTL int
}

func askICE(t *testing.T, r *relay, query string) iceAnswer {
	t.Helper()
	response, body := get(t, r, "/api/ice"+query)
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/json" ||
		response.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("/api/ice%s: %s, %v; want JSON that is not stored", query, response.Status, response.Header)
	}
	var answer iceAnswer
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	return answer
}

func TestICEWithoutServers(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	if _, body := get(t, r, "/api/ice"); body != `{"iceServers":[]}`+"\n" {
		t.Errorf("got %q, want no servers", body)
	}
}

func TestICE(t *testing.T) {
	const shared = "shared with coturn"
	r := startRelay(t, server.Config{ICE: server.ICE{
		STUN:       []string{"stun:stun.example", "stuns:stun.example:5349"},
		TURN:       []string{"turn:turn.example:3478", "turns:[2001:db8::1]:5349?transport=tcp"},
		TURNSecret: shared,
		TURNTTL:    time.Hour,
	}}, server.Patience{})
	for query, uid := range map[string]string{"?uid=cam1": "cam1", "": "peer", "?uid=" + strings.Repeat("x", 1000): "peer"} {
		before := time.Now()
		answer := askICE(t, r, query)
		if len(answer.ICEServers) != 2 || len(answer.ICEServers[0].URLs) != 2 || len(answer.ICEServers[1].URLs) != 2 || answer.TTL != 3600 {
			t.Fatalf("got %+v, want both servers with both URLs", answer)
		}
		turn := answer.ICEServers[1]
		expiry, of, _ := strings.Cut(turn.Username, ":")
		seconds, err := strconv.ParseInt(expiry, 10, 64)
		if ends := time.Unix(seconds, 0).Sub(before); err != nil || of != uid || ends < 59*time.Minute || ends > 61*time.Minute {
			t.Errorf("username %q, want the time in an hour and %q", turn.Username, uid)
		}
		mac := hmac.New(sha1.New, []byte(shared))
		mac.Write([]byte(turn.Username))
		if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); turn.Credential != want {
			t.Errorf("credential %q, want %q", turn.Credential, want)
		}
	}
	if response, _ := get(t, r, "/api/ice?uid=a%20b"); response.StatusCode != http.StatusBadRequest {
		t.Errorf("an impossible uid: %s, want 400", response.Status)
	}
}

func TestICEWantsToken(t *testing.T) {
	r := startRelay(t, server.Config{
		Tokens: tokenKeys(t),
		ICE:    server.ICE{TURN: []string{"turn:turn.example"}, TURNSecret: "shared"},
	}, server.Patience{})
	short := mint(t, token.Grant{UID: "cam1", Expiry: time.Now().Add(10 * time.Minute)})
	for query, want := range map[string]int{
		"":                              http.StatusUnauthorized,
		"?token=nonsense":               http.StatusUnauthorized,
		"?token=" + short + "&uid=cam2": http.StatusForbidden,
	} {
		response, body := get(t, r, "/api/ice"+query)
		if response.StatusCode != want || body == "" || response.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %s %q, want %d and why", query, response.Status, body, want)
		}
	}
	answer := askICE(t, r, "?token="+short)
	if len(answer.ICEServers) != 1 || !strings.HasSuffix(answer.ICEServers[0].Username, ":cam1") {
		t.Errorf("got %+v, want it made out to the token's uid", answer)
	}
	if most := 600 + int(token.Leeway/time.Second); answer.TTL > most {
		t.Errorf("credentials for %d s, want them to end with the token in %d", answer.TTL, most)
	}
}

func TestICEForOtherOrigins(t *testing.T) {
	for _, c := range []struct {
		allowed, origin, want string
		status                int
	}{
		{"", "https://app.example", "https://app.example", http.StatusOK},
		{"https://app.example", "https://app.example", "https://app.example", http.StatusOK},
		{"https://app.example", "https://evil.example", "", http.StatusForbidden},
	} {
		var config server.Config
		if c.allowed != "" {
			config.AllowedOrigins = []string{c.allowed}
		}
		r := startRelay(t, config, server.Patience{})
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http"+strings.TrimPrefix(r.url, "ws")+"/api/ice", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Close = true
		request.Header.Set("Origin", c.origin)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("Access-Control-Allow-Origin"); response.StatusCode != c.status || got != c.want {
			t.Errorf("%s where %q is allowed: %s for %q, want %d for %q", c.origin, c.allowed, response.Status, got, c.status, c.want)
		}
	}
}

func TestICEConfig(t *testing.T) {
	for _, ice := range []server.ICE{
		{STUN: []string{"stun.example:3478"}},
		{STUN: []string{"turn:turn.example"}},
		{STUN: []string{"stun://stun.example"}},
		{STUN: []string{"stun:a b"}},
		{STUN: []string{"stun:stun.example", "stun:stun.example:99999"}},
		{STUN: []string{"stun:stun.example:0"}},
		{STUN: []string{"stun:[:::::]"}},
		{STUN: []string{"stun:3478"}},
		{TURN: []string{"turns:turn.example?transport=udp"}, TURNSecret: "x"},
		{TURN: []string{"turn:turn.example"}}, // no secret
		{TURN: []string{"turn:turn.example?transport=sctp"}, TURNSecret: "x"},
		{TURN: []string{""}, TURNSecret: "x"},
		{TURNSecret: "x"},
		{TURNTTL: -time.Second},
	} {
		if _, err := server.New(server.Config{ICE: ice}); !errors.Is(err, server.ErrConfig) {
			t.Errorf("%+v: %v, want ErrConfig", ice, err)
		}
	}
}
