package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-gst/go-gst/gst"
	"github.com/pion/webrtc/v4"
)

const (
	software = "x264enc tune=zerolatency speed-preset=veryfast bframes=0 key-int-max=%[2]d bitrate=%[1]d ! video/x-h264,profile=constrained-baseline"
	// spare is another element than that of software, to tell them apart.
	spare = "openh264enc complexity=low gop-size=%[2]d rate-control=bitrate bitrate=%[1]d000 ! video/x-h264,profile=constrained-baseline"
)

// candidate is an encoder that may be broken.
func candidate(launch string) encoderElement {
	return encoderElement{launch: launch, bitrateUnit: 1000}
}

// TestEncoderFallsBack has encoders before the last one that fail in every way.
// The viewer gets its picture all the same, on one connection.
func TestEncoderFallsBack(t *testing.T) {
	for name, test := range map[string]struct {
		broken encoderElement
		warns  bool // there is something to say
	}{
		"is not there":         {candidate("nosuchh264enc bitrate=%[1]d"), false},
		"cannot be made":       {candidate("x264enc nosuchproperty=%[1]d"), true},
		"cannot agree on caps": {candidate("x264enc bitrate=%[1]d ! video/x-h264,profile=none"), true},
		"fails at once":        {candidate(software + " ! identity error-after=1"), true},
		"fails while it runs":  {candidate(software + " ! identity error-after=40"), true},
		"gives nothing":        {candidate(software + " ! valve drop=true"), true},
	} {
		t.Run(name, func(t *testing.T) {
			count, log := newTally(), &logged{}
			p, board := openTest(t, func(c *Config) {
				c.Codecs, c.Audio, c.Observer, c.Log = []*Codec{H264}, Source{}, count, slog.New(slog.NewTextHandler(log, nil))
				c.encoders = map[*Codec][]encoderElement{H264: {test.broken, candidate(spare)}}
			})
			r := newRemote(t, board, p, "viewer", webrtc.MimeTypeH264)
			defer r.close()
			r.offer(webrtc.RTPCodecTypeVideo)
			track := r.awaitTrack()
			screen := track.watch(t)
			for count.of("h264 openh264enc").frames == 0 {
				track.awaitFrames(t, track.snapshot().frames+1)
			}
			p.requestKeyframes(Video)
			screen.await("a picture", func(picture shown) bool { return picture.width == 320 })
			if got := track.snapshot(); got.gaps != 0 || p.Peers() != 1 {
				t.Errorf("%d packets are missing, %d peers, want none and one", got.gaps, p.Peers())
			}
			if n := log.count("encoder fails"); n > 1 || n == 1 != test.warns {
				t.Errorf("%d lines say that an encoder fails: %s", n, log)
			}
			if log.count(`level=INFO msg="encoder runs" codec=h264 encoder=openh264enc`) != 1 {
				t.Errorf("no line says which encoder runs: %s", log)
			}
		})
	}
}

// TestFallenEncoderRests: the one that took over rests when nobody watches, and
// starts again.
func TestFallenEncoderRests(t *testing.T) {
	count := newTally()
	p, _ := openTest(t, func(c *Config) {
		c.Codecs, c.Audio, c.Observer = []*Codec{H264}, Source{}, count
		c.encoders = map[*Codec][]encoderElement{H264: {candidate(software + " ! identity error-after=5"), candidate(spare)}}
	})
	frame := func(s *Subscription) {
		t.Helper()
		if _, err := s.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := p.tracks[H264].Subscribe()
	for count.of("h264 openh264enc").frames == 0 {
		frame(s)
	}
	s.Close()
	awaitRest(t, p.encoders[0])
	s = p.tracks[H264].Subscribe()
	defer s.Close()
	frame(s)
	if count.of("h264 x264enc").frames > 5 {
		t.Error("the one that failed was tried again")
	}
}

// awaitRest waits until an encoder runs no more.
func awaitRest(t *testing.T, e *liveEncoder) {
	t.Helper()
	for deadline := time.Now().Add(4 * encoderLinger); ; time.Sleep(20 * time.Millisecond) {
		e.mu.Lock()
		rests := e.src == nil
		e.mu.Unlock()
		if rests {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not rest")
		}
	}
}

// TestSlateUnwatched: nothing encodes a slate that nobody sees, and who comes
// later gets it all the same.
func TestSlateUnwatched(t *testing.T) {
	source := startLiveSource(t)
	p, _, screen := openLive(t, source, nil)
	source.off()
	screen.await("the slate", dark)
	p.Remove("viewer")
	awaitRest(t, p.encoders[0])
	s := p.tracks[VP8].Subscribe()
	defer s.Close()
	if f, err := s.Next(t.Context()); err != nil || !f.Keyframe {
		t.Errorf("keyframe %t, %v, want one of the slate", f.Keyframe, err)
	}
}

// TestCodecGivenUp: when the only encoder for a codec fails, who had that codec
// is offered what is left.
func TestCodecGivenUp(t *testing.T) {
	p, board := openTest(t, func(c *Config) {
		c.Codecs, c.Audio = []*Codec{H264, VP8}, Source{}
		c.encoders = map[*Codec][]encoderElement{H264: {candidate(software + " ! identity error-after=60")}}
	})
	first := newRemote(t, board, p, "viewer")
	defer first.close()
	first.offer(webrtc.RTPCodecTypeVideo)
	if track := first.awaitTrack(); track.codec.MimeType != webrtc.MimeTypeH264 {
		t.Fatalf("got %s, want H264", track.codec.MimeType)
	}
	second := newRemote(t, board, p, "viewer") // as a page makes it when it is offered a new connection
	defer second.close()
	track := second.awaitTrack()
	if track.codec.MimeType != webrtc.MimeTypeVP8 {
		t.Errorf("got %s, want VP8", track.codec.MimeType)
	}
	track.awaitFrames(t, 30)
	if p.Peers() != 1 {
		t.Errorf("%d peers, want 1", p.Peers())
	}
}

// TestEncoderFragments: each encoder gets its numbers in its own unit.
func TestEncoderFragments(t *testing.T) {
	initialize()
	for _, codec := range append([]*Codec{Opus}, VideoCodecs...) {
		for _, e := range codec.encoders {
			fragment := e.fragment(2_000_000, 2400)
			if want := fmt.Sprint(2_000_000 / e.bitrateUnit); strings.Contains(fragment, "%") || !strings.Contains(fragment, "="+want) && !strings.Contains(fragment, ")"+want) {
				t.Errorf("%q, want a bitrate of %s", fragment, want)
			}
			if e.longestGroup > 0 && !strings.Contains(fragment, fmt.Sprint("=", e.longestGroup)) {
				t.Errorf("%q, want %d frames at most between keyframes", fragment, e.longestGroup)
			}
		}
	}
	last := h264Encoders[len(h264Encoders)-2:]
	if last[0].name() != "x264enc" || last[1].name() != "openh264enc" {
		t.Errorf("%v: want the encoders that run everywhere last", last)
	}
}

func TestNoCommonCodecText(t *testing.T) {
	got := noCommonCodec(Video, []*Codec{VP8, H264}, []payload{{encoding: "AV1"}, {encoding: "rtx"}, {encoding: "AV1"}, {encoding: "H265"}}).Error()
	if want := "no common codec for video: we send VP8, H264, the remote takes AV1, H265; name one of the remote's in --codecs"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestSoundIsKept: an encoder of sound that was held up for 400 ms loses nothing.
func TestSoundIsKept(t *testing.T) {
	initialize()
	var config Config
	setDefaults(&config)
	pipelines, err := encoderPipelines(Opus, config)
	if err != nil {
		t.Fatal(err)
	}
	e := newLiveEncoder(Opus, pipelines, unobserved{}, config.Log)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() {
		if err := e.run(ctx); err != nil {
			t.Error(err)
		}
	})
	frames := e.track.Subscribe()
	defer frames.Close()
	const piece = 10 * time.Millisecond
	var sent time.Duration
	deliver := func() {
		buffer := gst.NewBufferFromBytes(make([]byte, 480*2))
		defer releaseMini(buffer)
		buffer.SetPresentationTimestamp(gst.ClockTime(sent))
		buffer.SetDuration(gst.ClockTime(piece))
		e.encode("audio/x-raw, format=(string)S16LE, layout=(string)interleaved, rate=(int)48000, channels=(int)1", buffer)
		sent += piece
	}
	next := func(limit time.Duration) bool {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := frames.Next(ctx)
		return err == nil
	}
	for !next(piece) { // until it runs
		deliver()
	}
	for next(time.Second) {
	}
	for range 40 {
		deliver()
	}
	got := 0
	for got < 19 && next(20*time.Second) {
		got++
	}
	if got < 19 {
		t.Errorf("%d frames of 20 ms came out of 400 ms", got)
	}
}
