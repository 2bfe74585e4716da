package record_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/record"
)

// TestTimeline places frames whose clock jumps. All times are in seconds.
func TestTimeline(t *testing.T) {
	t.Parallel()
	const hours = 3 * 3600
	type came struct {
		track       int
		after       float64 // the frame before came
		pts, placed float64
	}
	tests := []struct {
		name   string
		frames []came
	}{
		{"as it should be", []came{{0, 0, 7, 7}, {1, 0.02, 7.02, 7.02}, {0, 0.02, 7.04, 7.04}}},
		{"jitter", []came{{0, 0, 7, 7}, {0, 0, 6.9, 7.001}, {0, 0, 6.9, 7.002}, {0, 0, 7.04, 7.04}}},
		{"skewed tracks", []came{{0, 0, 7, 7}, {1, 0, 5, 5}, {0, 0.04, 7.04, 7.04}, {1, 0, 5.04, 5.04}}},
		{"pause", []came{{0, 0, 7, 7}, {0, 600, 607, 607}}},
		{"burst after a pause", []came{{0, 0, 7, 7}, {0, 9, 7.04, 7.04}, {0, 0, 7.08, 7.08}, {0, 0, 16, 16}}},
		{"one frame ahead", []came{{0, 0, 7, 7}, {0, 0.04, hours, 7.04}, {0, 0.04, 7.08, 7.08}}},
		{"one frame behind", []came{{0, 0, hours, hours}, {0, 0.04, 7, hours + 0.04}, {0, 0.04, hours + 0.08, hours + 0.08}}},
		{"all jump ahead", []came{{0, 0, 7, 7}, {1, 0, 7, 7}, {0, 0.04, hours, 7.04}, {1, 0.01, hours + 0.01, 7.05}, {0, 0.03, hours + 0.04, 7.08}}},
		{"all jump back", []came{{0, 0, hours, hours}, {0, 0.04, 7, hours + 0.04}, {0, 0.04, 7.04, hours + 0.08}}},
		{"another track on another clock", []came{{0, 0, 7, 7}, {1, 0.5, hours, 7.5}, {1, 0.02, hours + 0.02, 7.52}, {0, 0, 7.52, 7.52}}},
		{"negative", []came{{0, 0, -7, -7}, {0, 0.04, -6.96, -6.96}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var line record.Timeline
			now := wallStart
			for i, f := range test.frames {
				now = now.Add(seconds(f.after))
				if got := line.Place(f.track, seconds(f.pts), now); (got - seconds(f.placed)).Abs() > time.Microsecond {
					t.Errorf("frame %d: got %v, want %v", i, got, seconds(f.placed))
				}
			}
		})
	}
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }

// FuzzTimeline places any PTS: each later than the one before, and never much
// further than the clock went.
func FuzzTimeline(f *testing.F) {
	f.Add(int64(0), int64(1), int64(2), int64(3), int64(10))
	f.Add(int64(math.MaxInt64), int64(math.MinInt64), int64(0), int64(math.MaxInt64), int64(0))
	f.Add(int64(time.Hour), int64(0), int64(time.Hour), int64(-time.Hour), int64(time.Hour))
	f.Fuzz(func(t *testing.T, a, b, c, d, elapsed int64) {
		var line record.Timeline
		elapsed = max(0, min(elapsed, int64(24*time.Hour)))
		now, first := wallStart, time.Duration(0)
		var last [2]time.Duration
		for i, pts := range []int64{a, b, c, d, a, b, c, d} {
			track := i % 3 % 2
			at := line.Place(track, time.Duration(pts), now)
			if i == 0 {
				first = at
			}
			if i > 1 && last[track] != 0 && at <= last[track] {
				t.Errorf("frame %d is at %v, after one at %v", i, at, last[track])
			}
			if at-first > time.Duration(i)*(time.Duration(elapsed)+11*time.Second) || first-at > 11*time.Second*time.Duration(i) {
				t.Errorf("frame %d is at %v, the first at %v", i, at, first)
			}
			last[track] = at
			now = now.Add(time.Duration(elapsed))
		}
	})
}

// TestJumps records a call whose clock goes mad: every frame is there, in order,
// and the file is about as long as the call.
func TestJumps(t *testing.T) {
	t.Parallel()
	for _, format := range []record.Format{record.Matroska, record.MP4} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			picture, opus := encode(t, video(record.VP9, 4, 320, 240)), encode(t, sound(4))
			c := dial(t, record.Config{Format: format, Tracks: both(record.VP9)})
			jumps := []time.Duration{0, 5 * time.Hour, -3 * time.Hour, 0, -time.Hour, 900 * time.Hour}
			for i, m := range mix(map[int][]frame{pictures: picture, tone: opus}) {
				c.now = wallStart.Add(m.pts)
				jump := jumps[i/50%len(jumps)]
				if err := c.recorder.Write(record.Frame{Track: m.track, PTS: ptsStart + jump + m.pts, Payload: m.payload}); err != nil {
					t.Fatal(err)
				}
			}
			c.hangUp()
			streams := demux(t, c.file(), record.VP9, record.Opus)
			if streams[0].Buffers != len(picture) || streams[1].Buffers != len(opus) || !slices.IsSorted(streams[0].PTS) || !slices.IsSorted(streams[1].PTS) {
				t.Errorf("got %v, want all in order", streams)
			}
			for _, s := range streams {
				if s.End > 4500*time.Millisecond {
					t.Errorf("got %v, want 4s", s)
				}
			}
		})
	}
}
