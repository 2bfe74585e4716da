package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/internal/rtsptest"
)

// TestCameraComesBack: an RTSP camera is stopped and started. Who watches sees a
// slate, then the camera again, on the connection that was there.
func TestCameraComesBack(t *testing.T) {
	t.Parallel()
	c := rtsptest.Start(t, rtsptest.Camera{Sound: true, User: "viewer", Password: "secret"})
	p := startStreaming(t, "--video", c.URL("viewer", "secret"), "--metrics", "127.0.0.1:0")
	v := newViewer(t, p.relay(), "viewer")
	track := v.awaitTrack("cam", webrtc.RTPCodecTypeVideo)
	track.awaitFrames(t, enoughFrames)
	sound := v.awaitTrack("cam", webrtc.RTPCodecTypeAudio)
	b := browsertest.Open(t, p.page())
	b.AwaitPicture("cam")

	c.Stop()
	b.AwaitSlate("cam")
	b.AwaitFrames("cam", enoughFrames)
	if status, body := get(t, p.monitored()+"ready"); status != 503 || !strings.Contains(body, "is lost") || strings.Contains(body, "secret") {
		t.Errorf("ready: %d %q, want 503 and that the source is lost", status, body)
	}
	sound.awaitPackets(t, 50) // of silence
	rtsptest.Start(t, rtsptest.Camera{Address: c.Address, Sound: true, User: "viewer", Password: "secret"})
	b.AwaitPicture("cam")
	b.AwaitFrames("cam", enoughFrames)
	b.AwaitSound("cam")
	track.awaitFrames(t, enoughFrames)
	sound.awaitPackets(t, 50)
	if status, body := get(t, p.monitored()+"ready"); status != 200 {
		t.Errorf("ready: %d %q, want 200", status, body)
	}

	if missing := track.lost(); missing != 0 {
		t.Errorf("%d packets are missing", missing)
	}
	log := p.stderr.String()
	for _, line := range []string{"source lost", "source back"} {
		if n := strings.Count(log, line); n != 1 {
			t.Errorf("%d lines of the log say %q, want 1", n, line)
		}
	}
	if n := strings.Count(log, "peer connected"); n != 2 {
		t.Errorf("%d connections were made, want 2", n)
	}
	if strings.Contains(log, "secret") {
		t.Error("the password is in the log")
	}
}

func TestExitOnSourceLoss(t *testing.T) {
	t.Parallel()
	c := rtsptest.Start(t, rtsptest.Camera{})
	p := startStreaming(t, "--exit-on-source-loss", "--video", c.URL("", ""))
	c.Stop()
	if code := p.ExitCode(startLimit); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	if !regexp.MustCompile(`(?m)^gstpeer: source lost: video source rtsp://.*check address`).MatchString(p.stderr.String()) {
		t.Error("it does not say why")
	}
}
