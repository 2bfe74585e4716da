package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/browsertest"
)

// relayAway is how long a relay stays away that was killed: for longer than it
// would keep anybody's place.
const relayAway = 10 * time.Second

// countConnections is a page's script that counts its RTCPeerConnections.
const countConnections = `
	globalThis.connections = 0;
	globalThis.RTCPeerConnection = class extends RTCPeerConnection {
		constructor(...args) { super(...args); connections++; }
	};`

// killAndRestart kills a relay, and starts another one at its address after a
// while, into which meanwhile falls.
func killAndRestart(t *testing.T, relay *program, start func() *program, meanwhile func()) {
	t.Helper()
	back := time.After(relayAway)
	relay.signal(syscall.SIGKILL)
	<-relay.Exited
	meanwhile()
	<-back
	start()
}

// TestRelayKilled: who watches, in a browser or elsewhere, loses nothing when
// the relay is killed and comes back, and neither side makes a new connection.
func TestRelayKilled(t *testing.T) {
	t.Parallel()
	binary := buildRelay(t)
	for _, browser := range browsertest.Browsers {
		t.Run(browser.Name, func(t *testing.T) {
			t.Parallel()
			testRelayKilled(t, binary, browser)
		})
	}
}

func testRelayKilled(t *testing.T, binary string, browser browsertest.Browser) {
	address := freeAddress(t)
	start := func() *program {
		relay := startProgram(t, exec.Command(binary, "--listen", address))
		relay.awaitOutput(`http://`)
		return relay
	}
	relay := start()
	cam := startStreamingTo(t, "ws://"+address, "cam")
	v, picture := watch(t, "ws://"+address+"/?role=viewer", "viewer") // to which the page does not talk
	b := browser.Open(t, "http://"+address+"/?room=demo", countConnections)
	before := b.AwaitFrames("cam", enoughFrames)
	killAndRestart(t, relay, start, func() {
		picture.awaitFrames(t, 3*enoughFrames)
		b.AwaitFrames("cam", 3*enoughFrames)
	})
	await(t, "return to the room", func() bool { return strings.Contains(cam.stderr.String(), "room joined again") })
	b.Eventually(`document.body.dataset.relay === 'joined'`)
	b.AwaitFrames("cam", 3*enoughFrames) // in which a new connection would come about
	v.checkUndisturbed(picture)
	after := b.AwaitFrames("cam", enoughFrames)
	if after.SSRC != before.SSRC || after.PacketsLost != 0 {
		t.Errorf("the browser's picture: %+v before, %+v after", before, after)
	}
	if made := browsertest.Evaluate[int](b, `connections`); made != 1 {
		t.Errorf("the page made %d connections, want one", made)
	}
	if count := strings.Count(cam.stderr.String(), "peer connected"); count != 2 {
		t.Errorf("gstpeer made %d connections, want one to each viewer", count)
	}
}

// TestReferenceRelayKilled is the same for GStreamer's original relay.
func TestReferenceRelayKilled(t *testing.T) {
	t.Parallel()
	script := os.Getenv("GSTPEER_SIMPLE_SERVER")
	if script == "" {
		t.Skip("GSTPEER_SIMPLE_SERVER does not name GStreamer's simple_server.py")
	}
	address := freeAddress(t)
	start := func() *program { return startReferenceAt(t, script, address) }
	relay := start()
	cam := startStreamingTo(t, "ws://"+address, "cam")
	v, picture := watch(t, "ws://"+address, "viewer")
	killAndRestart(t, relay, start, func() { picture.awaitFrames(t, 3*enoughFrames) })
	await(t, "return to the room", func() bool { return strings.Contains(cam.stderr.String(), "room joined again") })
	watch(t, "ws://"+address, "late")
	v.checkUndisturbed(picture)
	if count := strings.Count(cam.stderr.String(), "peer connected"); count != 2 {
		t.Errorf("gstpeer made %d connections, want one to each viewer", count)
	}
}
