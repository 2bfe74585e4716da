package main

import (
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/turntest"
	"github.com/gstpeer/gstpeer/server"
)

const turnSecret = "shared with coturn"

// relayWithTURN names a TURN server to its peers.
func relayWithTURN(t *testing.T, turn *turntest.Server, secret string, ttl time.Duration, admit func(*http.Request) bool) string {
	t.Helper()
	url, _ := serveRelay(t, server.Config{ICE: server.ICE{
		TURN: []string{"turn:" + turn.Address.String() + "?transport=udp"}, TURNSecret: secret, TURNTTL: ttl,
	}}, admit)
	return url
}

// TestMediaThroughTURN: two gstpeers that tell no address of theirs, with the
// credentials that the relay hands out.
func TestMediaThroughTURN(t *testing.T) {
	t.Parallel()
	turn := turntest.Start(t, turntest.WithSecret(turnSecret)...)
	relay := relayWithTURN(t, turn, turnSecret, time.Hour, everybody)
	cam := startStreamingTo(t, relay, "cam", "--ice-policy", "relay", "--metrics", "127.0.0.1:0")
	recorder := startGstpeer(t, nil, "--server", relay, "--name", "recorder", "--receive-only", "--record", t.TempDir(),
		"--ice-policy", "relay", "--metrics", "127.0.0.1:0")
	relayed := `(?m)^gstpeer_remote_info\{local_candidate="relay",remote="%",remote_candidate="relay",state="connected"\} 1$`
	frames := `(?m)^gstpeer_remote_frames_total\{codec="vp8",direction="received",kind="video",mline="\d+",remote="cam"\} [1-9]\d+$`
	for _, c := range []struct {
		of      *program
		metrics string
	}{{recorder, frames}, {recorder, strings.Replace(relayed, "%", "cam", 1)}, {cam, strings.Replace(relayed, "%", "recorder", 1)}} {
		at, expression := c.of.monitored()+"metrics", regexp.MustCompile(c.metrics)
		await(t, c.metrics, func() bool {
			_, body := get(t, at)
			return expression.MatchString(body)
		})
	}
	for _, uid := range []string{":cam>", ":recorder>"} {
		if !strings.Contains(turn.Log(), uid) {
			t.Errorf("coturn knows no user that ends in %s", uid)
		}
	}
}

// TestTURNRefused: the relay and the TURN server have different secrets.
func TestTURNRefused(t *testing.T) {
	t.Parallel()
	relay := relayWithTURN(t, turntest.Start(t, turntest.WithSecret(turnSecret)...), "another", time.Hour, everybody)
	cam := startStreamingTo(t, relay, "cam", "--ice-policy", "relay")
	startStreamingTo(t, relay, "other", "--ice-policy", "relay")
	await(t, "the reason", func() bool {
		return regexp.MustCompile(`(?m)^.*peer=other reason="connection failed: TURN refused: .*$`).MatchString(cam.stderr.String())
	})
	if log := cam.stderr.String(); strings.Contains(log, "credential=") {
		t.Error("the log tells credentials")
	}
}

// TestTURNCredentialsAreRenewed: those of ten seconds are asked for anew in time.
func TestTURNCredentialsAreRenewed(t *testing.T) {
	t.Parallel()
	turn := turntest.Start(t, turntest.WithSecret(turnSecret)...)
	var asked atomic.Int32
	relay := relayWithTURN(t, turn, turnSecret, 10*time.Second, func(r *http.Request) bool {
		if r.URL.Path == "/api/ice" {
			if r.URL.Query().Get("uid") != "cam" {
				t.Errorf("asked for %s, want it for cam", r.URL)
			}
			asked.Add(1)
		}
		return true
	})
	p := startStreamingTo(t, relay, "cam", "--ice-policy", "relay")
	await(t, "second question", func() bool { return asked.Load() >= 2 || p.hasExited() })
}
