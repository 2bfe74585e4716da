package pipeline

import (
	"context"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

// openTest opens a pipeline on the test source, and closes it with the test.
func openTest(t testing.TB, change func(*Config)) (*Pipeline, *switchboard) {
	t.Helper()
	config := Config{
		Video: mustParse(t, ParseVideo, "test"), Audio: mustParse(t, ParseAudio, "test"),
		Width: 320, Height: 240, VideoBitrate: 500, Log: testLog(t),
	}
	if change != nil {
		change(&config)
	}
	board := &switchboard{remotes: make(map[string]*remote)}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	p, err := Open(ctx, config, board)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, board
}

func mustParse(t testing.TB, parse func(string) (Source, error), text string) Source {
	t.Helper()
	s, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRemoteOffers(t *testing.T) {
	p, board := openTest(t, nil)
	r := newRemote(t, board, p, "viewer")
	defer r.close()
	r.offer(webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio)
	r.awaitTrack().awaitFrames(t, 30)
	r.awaitTrack().awaitFrames(t, 30)
}

func TestWeOffer(t *testing.T) {
	p, board := openTest(t, nil)
	r := newRemote(t, board, p, "viewer")
	defer r.close()
	p.Offer("viewer")
	r.awaitTrack().awaitFrames(t, 30)
	r.awaitTrack().awaitFrames(t, 30)
}

func TestH264(t *testing.T) {
	p, board := openTest(t, func(c *Config) { c.Codecs = []*Codec{H264, VP8} })
	for name, start := range map[string]func(*remote){
		"remote offers": func(r *remote) { r.offer(webrtc.RTPCodecTypeVideo) },
		"we offer":      func(r *remote) { p.Offer(r.uid) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemote(t, board, p, "viewer "+name, webrtc.MimeTypeH264)
			defer r.close()
			start(r)
			track := r.awaitTrack()
			track.awaitFrames(t, 30)
			if track.codec.MimeType != webrtc.MimeTypeH264 {
				t.Errorf("got %s, want H264", track.codec.MimeType)
			}
		})
	}
}

// TestRemoteSendsToo: a remote that would also send, and talk on a data channel,
// gets our media all the same.
func TestRemoteSendsToo(t *testing.T) {
	p, board := openTest(t, nil)
	r := newRemote(t, board, p, "full peer")
	defer r.close()
	camera, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "camera", "remote")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.pc.AddTrack(camera); err != nil {
		t.Fatal(err)
	}
	if _, err := r.pc.CreateDataChannel("chat", nil); err != nil {
		t.Fatal(err)
	}
	r.offer(webrtc.RTPCodecTypeAudio)
	first, second := r.awaitTrack(), r.awaitTrack()
	for range 30 {
		if err := camera.WriteSample(media.Sample{Data: []byte{0x10, 0, 0, 0x9d, 1, 0x2a}, Duration: time.Second / 30}); err != nil {
			t.Fatal(err)
		}
	}
	first.awaitFrames(t, 30)
	second.awaitFrames(t, 30)
	if p.Peers() != 1 {
		t.Error("the peer has ended")
	}
}
