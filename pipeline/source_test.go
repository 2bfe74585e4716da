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
		"launch:videotestsrc ! x264enc":                           "launch:videotestsrc ...",
		"launch:(rtspsrc location=rtsp://user:secret@camera/path": "launch:rtspsrc ...",
		"rtsp://user:secret@camera/path?password=secret":          "rtsp://camera",
		"rtsps://camera:322/":                                     "rtsps://camera:322",
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
		"alsa:hw:1,0": "alsa:hw:1,0", "launch:audiotestsrc": "launch:audiotestsrc ...",
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

// makeFile runs a gst-launch description that ends in a filesink.
func makeFile(t *testing.T, file, description string) {
	t.Helper()
	launch, err := exec.LookPath("gst-launch-1.0")
	if err != nil {
		t.Skip("gst-launch-1.0 is not installed")
	}
	arguments := append(strings.Fields("-q "+description), "location="+quote(file))
	if out, err := exec.Command(launch, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestFileLoops watches a file of one second for longer than that: with a name
// that GStreamer's syntax would trip over.
func TestFileLoops(t *testing.T) {
	file := filepath.Join(t.TempDir(), `one "second" !.webm`)
	makeFile(t, file, `videotestsrc num-buffers=30 ! video/x-raw,width=320,height=240,framerate=30/1 ! vp8enc deadline=1 ! webmmux name=mux
		audiotestsrc num-buffers=50 samplesperbuffer=960 ! audio/x-raw,rate=48000 ! opusenc ! mux. mux. ! filesink name=out`)
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

// TestSoundlessFileLoops: the branch for a sound that is not there must not keep
// a file from going back to its start.
func TestSoundlessFileLoops(t *testing.T) {
	file := filepath.Join(t.TempDir(), "silent.webm")
	makeFile(t, file, "videotestsrc num-buffers=30 ! video/x-raw,width=320,height=240,framerate=30/1 ! vp8enc deadline=1 ! webmmux name=mux mux. ! filesink name=out")
	p, board := openTest(t, func(c *Config) {
		c.Video = mustParse(t, ParseVideo, "file:"+file)
		c.Audio = mustParse(t, ParseAudio, "auto")
	})
	r := newRemote(t, board, p, "viewer")
	defer r.close()
	r.offer(webrtc.RTPCodecTypeVideo)
	r.awaitTrack().awaitFrames(t, 100)
}

// TestOddSize: H.264 has no picture of odd size.
func TestOddSize(t *testing.T) {
	p, board := openTest(t, func(c *Config) {
		c.Video = mustParse(t, ParseVideo, "launch:videotestsrc is-live=true ! video/x-raw,width=321,height=241")
		c.Audio, c.Width, c.Height, c.Codecs = Source{}, 0, 0, []*Codec{H264}
	})
	r := newRemote(t, board, p, "viewer", webrtc.MimeTypeH264)
	defer r.close()
	r.offer(webrtc.RTPCodecTypeVideo)
	r.awaitTrack().awaitFrames(t, 30)
}

// TestFragmentIsPaced: a fragment need not be live.
func TestFragmentIsPaced(t *testing.T) {
	p, _ := openTest(t, func(c *Config) {
		c.Video, c.Audio = mustParse(t, ParseVideo, "launch:videotestsrc ! video/x-raw,width=320,height=240,framerate=30/1"), Source{}
	})
	s := p.tracks[VP8].Subscribe()
	defer s.Close()
	start := time.Now()
	first, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		f, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if ahead := f.PTS - first.PTS - time.Since(start); ahead > 500*time.Millisecond {
			t.Fatalf("a frame came %s before its time", ahead)
		}
	}
}
