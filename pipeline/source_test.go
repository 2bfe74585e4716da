package pipeline

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

func TestParseSources(t *testing.T) {
	for text, want := range map[string]string{
		"test": "test", "none": "none", "screen": "screen",
		"launch:videotestsrc ! x264enc":  "launch:videotestsrc ! x264enc",
		"rtsp://user:secret@camera/path": "rtsp://user:xxxxx@camera/path",
		"rtsps://camera:322/":            "rtsps://camera:322/",
	} {
		if s, err := ParseVideo(text); err != nil || s.String() != want {
			t.Errorf("ParseVideo(%q): %q, %v, want %q", text, s, err, want)
		}
	}
	for _, text := range []string{"", "tset", "test:1", "v4l2:", "file:", "launch:", "rtsp:camera", "rtsp://", "pulse", "source",
		"v4l2:/dev/no-camera", "file:/no/such/file", "file:/"} {
		if s, err := ParseVideo(text); err == nil {
			t.Errorf("ParseVideo(%q): %q, want an error", text, s)
		}
	}
	for text, want := range map[string]string{
		"test": "test", "none": "none", "auto": "auto", "source": "source", "pulse": "pulse", "pulse:monitor": "pulse",
		"alsa:hw:1,0": "alsa:hw:1,0", "launch:audiotestsrc": "launch:audiotestsrc",
	} {
		if s, err := ParseAudio(text); err != nil || s.String() != want {
			t.Errorf("ParseAudio(%q): %q, %v, want %q", text, s, err, want)
		}
	}
	for _, text := range []string{"", "alsa", "alsa:", "launch:", "v4l2:/dev/video0", "rtsp://camera/", "test:440"} {
		if s, err := ParseAudio(text); err == nil {
			t.Errorf("ParseAudio(%q): %q, want an error", text, s)
		}
	}
}

// TestQuote: a path cannot add to the pipeline that it stands in.
func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"/a b":                  `"/a b"`,
		`/x" ! filesink loc="/`: `"/x\" ! filesink loc=\"/"`,
		`back\slash`:            `"back\\slash"`,
	} {
		if got := quote(text); got != want {
			t.Errorf("quote(%q): %s, want %s", text, got, want)
		}
	}
}

// TestFileLoops watches a file of one second for longer than that: with a name
// that GStreamer's syntax would trip over.
func TestFileLoops(t *testing.T) {
	launch, err := exec.LookPath("gst-launch-1.0")
	if err != nil {
		t.Skip("gst-launch-1.0 is not installed")
	}
	file := filepath.Join(t.TempDir(), `one "second" !.webm`)
	command := exec.Command(launch, strings.Fields(`-q videotestsrc num-buffers=30 ! video/x-raw,width=320,height=240,framerate=30/1 ! vp8enc deadline=1 ! webmmux name=mux
		audiotestsrc num-buffers=50 samplesperbuffer=960 ! audio/x-raw,rate=48000 ! opusenc ! mux. mux. ! filesink name=out`)...)
	command.Args = append(command.Args, "location="+quote(file))
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p, board := openTest(t, func(c *Config) {
		c.Video = mustParse(t, ParseVideo, "file:"+file)
		c.Audio = mustParse(t, ParseAudio, "auto")
	})
	source := watchSource(t, p.tracks[VP8])
	r := newRemote(t, board, p, "viewer")
	defer r.close()
	r.offer(webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio)
	first, second := r.awaitTrack(), r.awaitTrack()
	first.awaitFrames(t, 100)
	second.awaitFrames(t, 100)
	source.Close()
	t.Logf("the longest gap between two frames, the ends of the file included, was %s", source.longest().Round(time.Millisecond))
}

// TestSilentSource: what delivers nothing is an error, and soon.
func TestSilentSource(t *testing.T) {
	_, err := Open(t.Context(), Config{
		Video: mustParse(t, ParseVideo, "launch:videotestsrc is-live=true ! identity drop-probability=1"), StartTimeout: time.Second,
	}, nil)
	if err == nil || !strings.Contains(err.Error(), "delivers nothing") || !strings.Contains(err.Error(), "within 1s") {
		t.Errorf("got %v, want that it delivers nothing within 1s", err)
	}
}
