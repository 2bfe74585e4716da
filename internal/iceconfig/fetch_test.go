package iceconfig

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// startRelay answers /api/ice until the test ends.
func startRelay(t *testing.T, answer http.HandlerFunc) Source {
	t.Helper()
	relay := httptest.NewServer(answer)
	t.Cleanup(relay.Close)
	return Source{URL: "ws" + strings.TrimPrefix(relay.URL, "http") + "/", UID: "cam 1", Log: slog.New(slog.DiscardHandler)}
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func TestFetch(t *testing.T) {
	s := startRelay(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/lab/api/ice" || r.URL.Query().Get("uid") != "cam 1" || r.URL.Query().Get("token") != "in the URL" ||
			r.Header.Get("Authorization") != "Bearer of tokens" {
			t.Errorf("asked for %s with %v", r.URL, r.Header)
		}
		fmt.Fprint(w, `{"iceServers":[{"urls":"stun:stun.example"},{"urls":["turn:turn.example?transport=tcp","turns:turn.example","sip:x","turn:a b"],
			"username":"17:cam 1","credential":"a+b/c="},{"urls":["turn:open.example"]}],"ttl":60,"more":[1]}`)
	})
	s.URL += "lab/ws?token=in+the+URL&role=viewer"
	s.Token = "of tokens"
	got, err := s.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Server{
		{Kind: STUN, Host: "stun.example", Port: 3478},
		{Kind: TURN, Host: "turn.example", Port: 3478, TCP: true, Username: "17:cam 1", Credential: "a+b/c="},
		{Kind: TURN, Host: "turn.example", Port: 5349, TLS: true, TCP: true, Username: "17:cam 1", Credential: "a+b/c="},
	}
	if fmt.Sprintf("%+v", got.Servers) != fmt.Sprintf("%+v", want) || got.Lifetime != time.Minute {
		t.Errorf("got %+v, want %+v for a minute", got, want)
	}
}

func TestLifetime(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		username, more string
		want           time.Duration
	}{
		{"1000600:cam", "", 10 * time.Minute},
		{"1000600:cam", `,"ttl":30`, 30 * time.Second}, // the relay's word needs no clock
		{"999999:cam", "", time.Second},
		{"cam", "", 0},
		{"cam:1", `,"ttl":-5`, 0},
		{"cam", `,"ttl":1e300`, 365 * 24 * time.Hour},
		{"9999999999999:cam", "", 365 * 24 * time.Hour},
		{"9223372036854775807:cam", "", 365 * 24 * time.Hour},
		{"-9223372036854775808:cam", "", time.Second},
	} {
		body := fmt.Sprintf(`{"iceServers":[{"urls":"turn:x","username":%q,"credential":"x"}]%s}`, c.username, c.more)
		got, err := Source{Log: slog.New(slog.DiscardHandler)}.parse([]byte(body), now)
		if err != nil || got.Lifetime != c.want {
			t.Errorf("%q%s: %v %v, want %v", c.username, c.more, got.Lifetime, err, c.want)
		}
	}
}

func TestFetchErrors(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	t.Cleanup(elsewhere.Close)
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for range 10_000 {
			if _, err := fmt.Fprint(w, strings.Repeat(" ", 1000)); err != nil {
				return
			}
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   error // nil for any other
	}{
		"original relay": {status(http.StatusUpgradeRequired), ErrNone},
		"not found":      {http.NotFound, ErrNone},
		"redirect":       {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, ErrNone},
		"page":           {says("<html>"), ErrNone},
		"endless":        {endless, ErrNone},
		"no token":       {status(http.StatusUnauthorized), ErrRefused},
		"wrong token":    {status(http.StatusForbidden), ErrRefused},
		"busy":           {status(http.StatusServiceUnavailable), nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := startRelay(t, c.answer)
			s.Token = "secret"
			got, err := s.Fetch(t.Context())
			switch {
			case err == nil:
				t.Errorf("got %+v, want an error", got)
			case c.want != nil && !errors.Is(err, c.want), c.want == nil && errors.Is(err, ErrNone):
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	t.Run("mute", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		s := startRelay(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		s.URL += "?token=secret"
		if _, err := s.Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want that the time is over, without the token", err)
		}
	})
}
