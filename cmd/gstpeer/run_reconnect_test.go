package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/internal/wire"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/signalling"
)

// serveRelay runs a relay behind a door of the test's own, until the test ends.
func serveRelay(t *testing.T, config server.Config, admit func(*http.Request) bool) (url string, relay *server.Server) {
	t.Helper()
	relay, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !admit(r) {
			http.Error(w, "not with this token", http.StatusUnauthorized)
			return
		}
		relay.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(host.Close)
	t.Cleanup(relay.Close)
	return "ws" + strings.TrimPrefix(host.URL, "http"), relay
}

func everybody(*http.Request) bool { return true }

// nextEvent waits for the next event that is, or is not, a message.
func nextEvent(t *testing.T, member *signalling.Client, isMessage bool) signalling.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		event, err := member.Recv(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := event.(signalling.Message); ok == isMessage {
			return event
		}
	}
}

// expectEvents asserts what a member hears next, messages aside.
func expectEvents(t *testing.T, member *signalling.Client, want ...signalling.Event) {
	t.Helper()
	for _, want := range want {
		if event := nextEvent(t, member, false); event != want {
			t.Fatalf("got %#v, want %#v", event, want)
		}
	}
}

// expectOffer waits for an offer from another member.
func expectOffer(t *testing.T, member *signalling.Client, from string) {
	t.Helper()
	for {
		message := nextEvent(t, member, true).(signalling.Message)
		n, err := signalling.ParseNegotiation(message.Text)
		if err != nil {
			t.Fatal(err)
		}
		if message.From == from && n.Description != nil && n.Description.Type == signalling.Offer {
			return
		}
	}
}

// checkUndisturbed asserts that a viewer has the tracks that it had at first,
// and lost nothing of the picture.
func (v *viewer) checkUndisturbed(picture *receivedTrack) {
	v.t.Helper()
	picture.awaitFrames(v.t, enoughFrames)
	picture.checkWhole(v.t)
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.tracks) != 2 {
		v.t.Errorf("%s has got %d tracks, want picture and sound once", v.uid, len(v.tracks))
	}
}

// watch is newViewer, once picture and sound come.
func watch(t *testing.T, relay, uid string) (v *viewer, picture *receivedTrack) {
	t.Helper()
	v = newViewer(t, relay, uid)
	v.awaitTrack("cam", webrtc.RTPCodecTypeAudio).awaitPackets(t, 1)
	picture = v.awaitTrack("cam", webrtc.RTPCodecTypeVideo)
	picture.awaitFrames(t, enoughFrames)
	return v, picture
}

// TestMediaOutlivesRelay restarts the relay under somebody who watches. Others
// can come afterwards.
func TestMediaOutlivesRelay(t *testing.T) {
	t.Parallel()
	address, stop := startRelayAt(t, "127.0.0.1:0")
	cam := startStreamingTo(t, "ws://"+address, "cam")
	v, picture := watch(t, "ws://"+address, "viewer")
	stop()
	await(t, "word of the relay's absence", func() bool { return strings.Contains(cam.stderr.String(), "relay is still away") })
	picture.awaitFrames(t, enoughFrames)
	startRelayAt(t, address)
	await(t, "return to the room", func() bool { return strings.Contains(cam.stderr.String(), "room joined again") })
	watch(t, "ws://"+address, "late")
	v.checkUndisturbed(picture)
}

// TestResumedNegotiation cuts gstpeer's connection when an offer is on its way
// to it: that is answered, and nobody hears of the cut.
func TestResumedNegotiation(t *testing.T) {
	t.Parallel()
	relay := "ws://" + startRelay(t)
	w, through := wire.New(t, relay)
	cam := startStreamingTo(t, through, "cam")
	v, picture := watch(t, relay, "viewer")
	member, _ := joinRoom(t, relay, "member")
	w.Hold()
	late := newViewer(t, relay, "late")
	await(t, "loss of the offer", func() bool {
		_, down := w.Swallowed()
		return down > 1000 // more than the word that somebody joined
	})
	w.Cut()
	late.awaitTrack("cam", webrtc.RTPCodecTypeVideo).awaitFrames(t, enoughFrames)
	v.checkUndisturbed(picture)
	if !strings.Contains(cam.stderr.String(), "nothing has changed") {
		t.Error("gstpeer was not resumed")
	}
	newViewer(t, relay, "last")
	expectEvents(t, member, signalling.PeerJoined{UID: "late"}, signalling.PeerJoined{UID: "last"})
}

// TestRejoined cuts gstpeer's connection to a relay that does not keep its
// place. Who did not get media yet is offered it again.
func TestRejoined(t *testing.T) {
	t.Parallel()
	relay, _ := serveRelay(t, server.Config{ResumeGrace: -1}, everybody)
	w, through := wire.New(t, relay)
	member, _ := joinRoom(t, relay, "member") // never answers
	startStreamingTo(t, through, "cam")
	expectEvents(t, member, signalling.PeerJoined{UID: "cam"})
	expectOffer(t, member, "cam")
	v, picture := watch(t, relay, "viewer")
	w.Cut()
	expectEvents(t, member, signalling.PeerJoined{UID: "viewer"}, signalling.PeerLeft{UID: "cam"}, signalling.PeerJoined{UID: "cam"})
	expectOffer(t, member, "cam")
	v.checkUndisturbed(picture)
}

// TestToken is let in as long as its token is good.
func TestToken(t *testing.T) {
	t.Parallel()
	var expired atomic.Bool
	relay, doors := serveRelay(t, server.Config{}, func(r *http.Request) bool {
		return r.Header.Get("Authorization") == "Bearer the-token" && !expired.Load()
	})
	t.Run("missing", failure{
		args: []string{"--server", relay}, code: 1, says: `HTTP 401 Unauthorized \(not with this token\): give one with --token`,
	}.check)
	t.Run("wrong", failure{
		args: []string{"--server", relay, "--token", "another"}, code: 1, says: `HTTP 401 Unauthorized \(not with this token\): give another one with --token`,
	}.check)
	t.Run("expires", func(t *testing.T) {
		p := startGstpeer(t, []string{"GSTPEER_TOKEN=the-token"}, slices.Concat([]string{"--server", relay}, small)...)
		p.awaitOutput(`Streaming to room`)
		expired.Store(true)
		doors.Close()
		if code := p.ExitCode(startLimit); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		if said := p.stderr.String(); !strings.Contains(said, "give another one with --token") || strings.Contains(said, "the-token") {
			t.Error("want what to do about the token, and not the token itself")
		}
	})
}

// TestNameTakenMeanwhile stops the program for so long that another peer can take
// its name: it says so, in the log and to who watches it, and comes back when the
// name is free. It runs when GSTPEER_LONG is set.
func TestNameTakenMeanwhile(t *testing.T) {
	if os.Getenv("GSTPEER_LONG") == "" {
		t.Skip("GSTPEER_LONG=1 is not set")
	}
	t.Parallel()
	relay := "ws://" + startRelay(t)
	p := startStreamingTo(t, relay, "cam", "--metrics", "127.0.0.1:0")
	at := p.monitored()
	says := func(text string) {
		t.Helper()
		await(t, text, func() bool { return strings.Contains(p.stderr.String(), text) })
	}
	p.signal(syscall.SIGSTOP)
	other, _ := joinRoom(t, relay, "cam")
	p.signal(syscall.SIGCONT)
	says(`msg="cannot come back yet" error="signalling: the relay refused the uid: \"cam\" is taken by another peer`)
	says(`level=WARN msg="the relay does not take us back`)
	if status, body := get(t, at+"ready"); status != 503 || !strings.Contains(body, `"cam" is taken by another peer`) {
		t.Errorf("ready: %d %q, want 503 with the reason", status, body)
	}
	other.Close()
	says(`msg="relay back`)
	await(t, "readiness", func() bool {
		status, _ := get(t, at+"ready")
		return status == 200
	})
}
