package mediatest

import (
	"bytes"
	_ "embed"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
)

//go:embed testdata/picture.ivf
var pictureFile []byte

//go:embed testdata/tone.ogg
var toneFile []byte

const (
	frameDuration  = 40 * time.Millisecond // of picture.ivf
	packetDuration = 20 * time.Millisecond // of a packet of tone.ogg
)

// PlayPicture gives a track that plays a picture over and over until the test ends.
func PlayPicture(t testing.TB) webrtc.TrackLocal {
	t.Helper()
	return play(t, webrtc.MimeTypeVP8, pictureFrames(t), frameDuration)
}

// PlayTone does the same with a tone.
func PlayTone(t testing.TB) webrtc.TrackLocal {
	t.Helper()
	return play(t, webrtc.MimeTypeOpus, tonePackets(t), packetDuration)
}

func play(t testing.TB, mimeType string, samples [][]byte, duration time.Duration) webrtc.TrackLocal {
	t.Helper()
	track := NewTrack(t, mimeType)
	done := make(chan struct{})
	var player sync.WaitGroup
	player.Go(func() {
		ticker := time.NewTicker(duration)
		defer ticker.Stop()
		began, i := time.Now(), 0
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			// On a busy machine ticks get lost, and media must not: picture and
			// tone would part.
			for ; time.Since(began) >= time.Duration(i+1)*duration; i++ {
				sample := media.Sample{Data: samples[i%len(samples)], Duration: duration}
				// A viewer that has just gone makes this fail; the others still get it.
				_ = track.WriteSample(sample)
			}
		}
	})
	t.Cleanup(func() { close(done); player.Wait() })
	return track
}

// NewTrack gives a track on which nothing plays.
func NewTrack(t testing.TB, mimeType string) *webrtc.TrackLocalStaticSample {
	t.Helper()
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mimeType}, mimeType[:5], "gstpeer")
	if err != nil {
		t.Fatal(err)
	}
	return track
}

func pictureFrames(t testing.TB) [][]byte {
	t.Helper()
	reader, _, err := ivfreader.NewWith(bytes.NewReader(pictureFile))
	if err != nil {
		t.Fatal(err)
	}
	var frames [][]byte
	for {
		frame, _, err := reader.ParseNextFrame()
		if errors.Is(err, io.EOF) {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame)
	}
}

func tonePackets(t testing.TB) [][]byte {
	t.Helper()
	reader, _, err := oggreader.NewWith(bytes.NewReader(toneFile))
	if err != nil {
		t.Fatal(err)
	}
	var packets [][]byte
	for {
		packet, _, err := reader.ParseNextPage()
		if errors.Is(err, io.EOF) {
			return packets[1:] // the first has the tags
		}
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, packet)
	}
}
