package pipeline

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// BenchmarkJoin measures what a viewer waits for: from its offer to the last
// packet of its first keyframe, at a peer that streams to another one already.
// Run it with -benchtime 50x.
func BenchmarkJoin(b *testing.B) {
	p, board := openTest(b, func(c *Config) { c.Width, c.Height, c.VideoBitrate = 1280, 720, 2000 })
	stays := newRemote(b, board, p, "stays")
	defer stays.close()
	stays.offer(webrtc.RTPCodecTypeVideo)
	stays.awaitTrack().awaitFrames(b, 30)

	var waits []time.Duration
	b.ResetTimer()
	for i := range b.N {
		r := newRemote(b, board, p, fmt.Sprint("viewer", i))
		start := time.Now()
		r.offer(webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio)
		waits = append(waits, r.awaitKeyframe().Sub(start))
		p.Remove(r.uid)
		r.close()
	}
	slices.Sort(waits)
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(milliseconds(waits[len(waits)/2]), "ms-median")
	b.ReportMetric(milliseconds(waits[len(waits)*9/10]), "ms-p90")
	b.ReportMetric(milliseconds(waits[0]), "ms-min")
	b.ReportMetric(milliseconds(waits[len(waits)-1]), "ms-max")
	b.ReportMetric(0, "ns/op")
}
