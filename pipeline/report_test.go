package pipeline

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// awaitReport waits for a report of the only peer that fits.
func awaitReport(t *testing.T, p *Pipeline, fits func(PeerReport) bool) PeerReport {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		reports := p.Reports()
		if len(reports) == 1 && fits(reports[0]) {
			return reports[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s: %+v", reports)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestReports: what is sent and received is told as it is, whether anybody takes
// what comes in or not.
func TestReports(t *testing.T) {
	p, board := openTest(t, func(c *Config) { c.Receive = true })
	r := newRemote(t, board, p, "both")
	stop := r.send(p, webrtc.MimeTypeVP8, VP8)
	r.offer()
	awaitReport(t, p, func(r PeerReport) bool { return r.State == "connected" })
	var picture *receivedTrack
	for range 2 {
		if track := r.awaitTrack(); track.kind == webrtc.RTPCodecTypeVideo {
			picture = track
		}
	}
	picture.awaitFrames(t, 30)
	if err := r.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(picture.ssrc)}}); err != nil {
		t.Fatal(err)
	}
	report := awaitReport(t, p, func(r PeerReport) bool {
		for _, s := range r.Streams {
			if s.Bitrate == 0 || s.Sent && (s.RoundTrip == 0 || s.Kind == Video && s.PLIs == 0) {
				return false
			}
		}
		return len(r.Streams) == 4
	})
	if report.UID != "both" || report.LocalCandidate != "host" || report.RemoteCandidate != "host" && report.RemoteCandidate != "prflx" {
		t.Errorf("got %+v", report)
	}
	for _, s := range report.Streams {
		want := "vp8"
		if s.Kind == Audio {
			want = "opus"
		}
		if s.Codec != want || s.Packets == 0 || s.Bytes == 0 || s.Lost != 0 || s.FIRs != 0 {
			t.Errorf("got %+v", s)
		}
		if s.Sent && (s.Frames == 0 || s.Keyframes == 0) {
			t.Errorf("no frames were counted: %+v", s)
		}
	}
	p.Remove("both")
	awaitNobody(t, p)
	if reports := p.Reports(); len(reports) != 0 {
		t.Errorf("got %+v after the end", reports)
	}
	stop()
	r.close()
}

// BenchmarkStatistics measures what a look at one peer costs, of which there is
// one every two seconds.
func BenchmarkStatistics(b *testing.B) {
	p, board := openTest(b, nil)
	r := newRemote(b, board, p, "viewer")
	r.offer(webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio)
	r.awaitKeyframe()
	peer := p.peer("viewer")
	measured := make(chan error)
	for b.Loop() {
		peer.post(func() error {
			stats, err := peer.bin.stats(b.Context())
			peer.report(stats, time.Now())
			measured <- err
			return nil
		})
		if err := <-measured; err != nil {
			b.Fatal(err)
		}
	}
	r.close()
}
