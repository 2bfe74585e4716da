package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/internal/rtsptest"
)

// enoughFrames is about a second of them.
const enoughFrames = 15

func TestBrowserPlaysTestSource(t *testing.T) {
	t.Parallel()
	p := startGstpeer(t, nil, "--listen", "127.0.0.1:0", "--name", "cam") // in the size that users get
	b := browsertest.Open(t, p.page())
	if got := b.AwaitFrames("cam", enoughFrames); got.MimeType != "video/VP8" {
		t.Errorf("the picture is %s, want VP8", got.MimeType)
	}
	if got := b.AwaitSound("cam"); got.MimeType != "audio/opus" {
		t.Errorf("the sound is %s, want Opus", got.MimeType)
	}
	b.AwaitFrames("cam", enoughFrames)
}

func TestBrowserPlaysH264(t *testing.T) {
	t.Parallel()
	p := startStreaming(t, "--codecs", "h264", "--audio", "none")
	b := browsertest.Open(t, p.page())
	if got := b.AwaitFrames("cam", enoughFrames); got.MimeType != "video/H264" {
		t.Errorf("the picture is %s, want H264", got.MimeType)
	}
}

func TestBrowserPlaysCamera(t *testing.T) {
	t.Run("picture as VP8, over UDP", func(t *testing.T) {
		t.Parallel()
		p := startStreaming(t, "--video", rtsptest.Start(t, rtsptest.Camera{UDP: true}).URL("", ""))
		b := browsertest.Open(t, p.page())
		b.AwaitFrames("cam", enoughFrames)
		if sound := b.Inbound("cam", "audio"); sound.TotalAudioEnergy > 0 {
			t.Errorf("sound of a camera that has none: %+v", sound)
		}
	})
	t.Run("picture as H264 and sound, with a password", func(t *testing.T) {
		t.Parallel()
		c := rtsptest.Start(t, rtsptest.Camera{Sound: true, User: "viewer", Password: "secret"})
		p := startStreaming(t, "--codecs", "h264", "--video", c.URL("viewer", "secret"))
		b := browsertest.Open(t, p.page())
		if got := b.AwaitFrames("cam", enoughFrames); got.MimeType != "video/H264" {
			t.Errorf("the picture is %s, want H264", got.MimeType)
		}
		b.AwaitSound("cam")
		if log := p.stdout.String() + p.stderr.String(); strings.Contains(log, "secret") {
			t.Error("the password is in the log")
		}
	})
}

// TestBrowserPlaysFile watches for longer than the file lasts.
func TestBrowserPlaysFile(t *testing.T) {
	const frames = 30 // in two seconds
	picture := "videotestsrc num-buffers=30 ! video/x-raw,width=320,height=180,framerate=15/1"
	sound := "audiotestsrc num-buffers=100 samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=2"
	for _, test := range []struct{ file, pipeline string }{
		{"vp8-vorbis.webm", picture + " ! vp8enc deadline=1 ! mux. " + sound + " ! audioconvert ! vorbisenc ! mux. webmmux name=mux !"},
		{"h264-aac.mp4", picture + " ! x264enc ! h264parse ! mux. " + sound + " ! avenc_aac ! aacparse ! mux. mp4mux name=mux !"},
	} {
		t.Run(test.file, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), test.file)
			makeFile(t, path, test.pipeline)
			p := startStreaming(t, "--video", "file:"+path)
			b := browsertest.Open(t, p.page())
			b.AwaitFrames("cam", frames+enoughFrames)
			b.AwaitSound("cam")
			b.AwaitFrames("cam", frames+enoughFrames)
			b.AwaitSound("cam")
		})
	}
}

func TestBrowserPlaysLaunch(t *testing.T) {
	t.Parallel()
	p := startStreaming(t,
		"--video", "launch:videotestsrc is-live=true pattern=ball ! video/x-raw,framerate=15/1 ! x264enc tune=zerolatency ! h264parse",
		"--audio", "launch:audiotestsrc is-live=true freq=300")
	b := browsertest.Open(t, p.page())
	b.AwaitFrames("cam", enoughFrames)
	b.AwaitSound("cam")
}

func TestBrowserPlaysSoundAlone(t *testing.T) {
	t.Parallel()
	p := startStreaming(t, "--video", "none", "--audio", "test")
	b := browsertest.Open(t, p.page())
	b.AwaitSound("cam")
	b.AwaitSound("cam")
}

// TestBrowserPlaysOneKind answers offers of who sends only a picture, or only
// sound, and would receive the other.
func TestBrowserPlaysOneKind(t *testing.T) {
	t.Parallel()
	relay := startRelay(t)
	b := browsertest.Open(t, "http://"+relay+"/?room=demo")
	b.Eventually(`document.body.dataset.relay === 'joined'`)
	startStreamingTo(t, "ws://"+relay, "silent", "--audio", "none")
	startStreamingTo(t, "ws://"+relay, "radio", "--video", "none", "--audio", "test")
	b.AwaitFrames("silent", enoughFrames)
	b.AwaitSound("radio")
	for _, name := range []string{"silent", "radio"} {
		b.Eventually(fmt.Sprintf(`document.querySelector('[data-uid=%s]')?.dataset.state === 'live'`, name))
	}
}

func TestBrowserPlaysScreen(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("Xvfb")
	if err != nil {
		t.Skip(err)
	}
	// Xvfb picks a free display and says which.
	screen := startProgram(t, exec.Command(path, "-displayfd", "1", "-screen", "0", "320x180x24", "-nolisten", "tcp"))
	display := ":" + screen.awaitOutput(`(?m)^(\d+)$`)[1]
	p := startGstpeer(t, []string{"DISPLAY=" + display}, "--video", "screen", "--listen", "127.0.0.1:0", "--name", "cam", "--frame-rate", "15")
	b := browsertest.Open(t, p.page())
	b.AwaitFrames("cam", enoughFrames)
}

// TestPageReload shows that the page comes back to a picture, by its own offer.
func TestPageReload(t *testing.T) {
	t.Parallel()
	p := startStreaming(t)
	b := browsertest.Open(t, p.page())
	b.AwaitFrames("cam", enoughFrames)
	b.Reload()
	b.AwaitFrames("cam", enoughFrames)
}
