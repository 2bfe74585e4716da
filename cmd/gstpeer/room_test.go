package main

import (
	"context"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/internal/relaytest"
	"github.com/gstpeer/gstpeer/signalling"
)

// startRelay runs a relay in this process until the test ends, and gives its
// host and port.
func startRelay(t *testing.T) string {
	t.Helper()
	address, _ := startRelayAt(t, "127.0.0.1:0")
	return address
}

// startRelayAt is startRelay for a relay that can be stopped before, repeatedly.
func startRelayAt(t *testing.T, wanted string) (address string, stop func()) {
	t.Helper()
	at, stop := relaytest.Start(t, wanted)
	return at.String(), stop
}

// buildRelay builds the relay as users run it.
func buildRelay(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "gstpeer-server")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "../gstpeer-server")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, text)
	}
	return binary
}

// TestTwoSendersInOneRoom goes through the relay as users run it.
func TestTwoSendersInOneRoom(t *testing.T) {
	binary := buildRelay(t)
	for _, test := range []struct {
		name         string
		browserFirst bool
	}{{"browser first", true}, {"senders first", false}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			relay := startProgram(t, exec.Command(binary, "--listen", "127.0.0.1:0"))
			page, err := url.Parse(relay.awaitOutput(`(http://\S+)`)[1])
			if err != nil {
				t.Fatal(err)
			}
			page.RawQuery = "room=demo"
			var b *browsertest.Tab
			if test.browserFirst {
				b = browsertest.Open(t, page.String())
				b.Eventually(`document.body.dataset.relay === 'joined'`)
			}
			startStreamingTo(t, "ws://"+page.Host, "cam1")
			startStreamingTo(t, "ws://"+page.Host, "cam2")
			if !test.browserFirst {
				b = browsertest.Open(t, page.String())
			}
			for range 2 {
				b.AwaitFrames("cam1", enoughFrames)
				b.AwaitFrames("cam2", enoughFrames)
			}
		})
	}
}

// TestBadMembers shows that a viewer notices nothing of others who do not do
// their part. All are there before gstpeer comes, and later ones join them.
func TestBadMembers(t *testing.T) {
	t.Parallel()
	relay := startRelay(t)
	silent, _ := joinRoom(t, "ws://"+relay, "silent") // is offered, and never answers
	nonsense, _ := joinRoom(t, "ws://"+relay, "nonsense")
	stuck := joinStuck(t, relay)
	good := newViewer(t, "ws://"+relay, "good")
	cam := startStreamingTo(t, "ws://"+relay, "cam")
	track := good.awaitTrack("cam", webrtc.RTPCodecTypeVideo)
	track.awaitFrames(t, enoughFrames)

	answerWith(t, nonsense, "cam",
		`{"sdp":{"type":"answer","sdp":"v=0\r\nnonsense\r\n"}}`,
		`{"sdp":{"type":"answer","sdp":"`+strings.Repeat("x", 100_000)+`"}}`,
		`{"ice":{"candidate":"candidate:nonsense","sdpMLineIndex":77}}`,
		`{"sdp":{"type":"rollback"}}`, `OFFER_REQUEST`, `{`, ``,
	)
	offering, _ := joinRoom(t, "ws://"+relay, "offering")
	answerWith(t, offering, "cam",
		`{"ice":{"candidate":"candidate:1 1 UDP 1 127.0.0.1 1 typ host","sdpMLineIndex":0}}`,
		`{"sdp":{"type":"offer","sdp":"v=0\r\nm=video x\r\n"}}`,
		`{"sdp":{"type":"offer","sdp":"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n"}}`,
	)
	flood(t, silent, "stuck")
	track.awaitFrames(t, enoughFrames)

	late := newViewer(t, "ws://"+relay, "late")
	late.awaitTrack("cam", webrtc.RTPCodecTypeVideo).awaitFrames(t, enoughFrames)
	stuck.Close()
	track.awaitFrames(t, enoughFrames)
	track.checkWhole(t)
	if cam.hasExited() {
		t.Error("gstpeer has ended")
	}
}

// answerWith sends texts to a member, of which none may be too much for it.
func answerWith(t *testing.T, client *signalling.Client, uid string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := client.SendTo(t.Context(), uid, text); err != nil {
			t.Fatal(err)
		}
	}
}

// joinStuck is a member that reads nothing after it has joined.
func joinStuck(t *testing.T, relay string) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4096) // so that little fits in
		}
		return conn, err
	}}
	ws, _, err := dialer.Dial("ws://"+relay, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	for _, command := range []string{"HELLO stuck", "ROOM demo"} {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(command)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ws.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	return ws
}

// flood sends to a member that does not read until the relay has had enough of
// that, and says that it is gone.
func flood(t *testing.T, client *signalling.Client, uid string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	gone := make(chan error, 1)
	go func() {
		for {
			event, err := client.Recv(ctx)
			if left, ok := event.(signalling.PeerLeft); err != nil || ok && left.UID == uid {
				gone <- err
				return
			}
		}
	}()
	text := strings.Repeat("x", 500_000)
	for {
		select {
		case err := <-gone:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
		if err := client.SendTo(ctx, uid, text); err != nil {
			t.Fatal(err)
		}
	}
}
