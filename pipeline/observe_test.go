package pipeline

import (
	"sync"
	"testing"
	"time"
)

// tally is an Observer that counts.
type tally struct {
	unobserved
	mu       sync.Mutex
	captured map[Kind]int
	encoded  map[string]encodedTally // by codec and element
}

type encodedTally struct {
	frames, keyframes, bytes int
	timed                    int           // frames
	longest                  time.Duration // of these
}

func newTally() *tally {
	return &tally{captured: make(map[Kind]int), encoded: make(map[string]encodedTally)}
}

func (t *tally) CapturedFrame(kind Kind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.captured[kind]++
}

func (t *tally) EncodedFrame(codec *Codec, encoder string, inEncoder time.Duration, keyframe bool, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := codec.Name + " " + encoder
	e := t.encoded[name]
	e.frames++
	e.bytes += bytes
	if keyframe {
		e.keyframes++
	}
	if inEncoder > 0 {
		e.timed++
		e.longest = max(e.longest, inEncoder)
	}
	t.encoded[name] = e
}

func (t *tally) of(encoder string) encodedTally {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.encoded[encoder]
}

func (t *tally) capturedOf(kind Kind) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.captured[kind]
}

func TestObserver(t *testing.T) {
	count := newTally()
	p, _ := openTest(t, func(c *Config) { c.Observer, c.Codecs = count, []*Codec{VP8, H264} })
	for codec, encoder := range map[*Codec]string{VP8: "vp8 vp8enc", H264: "h264 x264enc", Opus: "opus opusenc"} {
		s := p.tracks[codec].Subscribe()
		defer s.Close()
		for range 40 {
			if _, err := s.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		got := count.of(encoder)
		t.Logf("%s: %+v", encoder, got)
		if got.frames < 39 || got.keyframes < 1 || got.bytes < got.frames {
			t.Errorf("%s: %+v, want 39 frames or more", encoder, got)
		}
		if got.timed < got.frames*9/10 || got.longest > 5*time.Second {
			t.Errorf("%s: %+v, want nearly every frame timed", encoder, got)
		}
	}
	if pictures, sounds := count.capturedOf(Video), count.capturedOf(Audio); pictures < 40 || sounds < 40 {
		t.Errorf("%d pictures and %d sounds captured, want 40 each or more", pictures, sounds)
	}
}

func TestStopwatch(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		kind   Kind
		in     []time.Duration // timestamps, each 10 ms after the other
		frames []Frame         // that come out 100 ms after the first of them went in
		want   []time.Duration
	}{
		"a picture each":             {Video, []time.Duration{0, 33 * ms, 66 * ms}, []Frame{{PTS: 0}, {PTS: 33 * ms}, {PTS: 66 * ms}}, []time.Duration{100 * ms, 90 * ms, 80 * ms}},
		"a picture that got lost":    {Video, []time.Duration{0, 33 * ms, 66 * ms}, []Frame{{PTS: 66 * ms}}, []time.Duration{80 * ms}},
		"sound of two buffers":       {Audio, []time.Duration{0, 10 * ms, 20 * ms}, []Frame{{PTS: 0, Duration: 20 * ms}}, []time.Duration{90 * ms}},
		"two frames of one":          {Audio, []time.Duration{0}, []Frame{{PTS: 0, Duration: 20 * ms}, {PTS: 20 * ms, Duration: 20 * ms}}, []time.Duration{100 * ms, 100 * ms}},
		"from before the first":      {Video, []time.Duration{33 * ms}, []Frame{{PTS: 0}}, []time.Duration{0}},
		"nothing ever comes out":     {Video, make([]time.Duration, 10*maxTimed), nil, nil},
		"nothing has ever gone into": {Video, nil, []Frame{{PTS: 0}}, []time.Duration{0}},
	} {
		t.Run(name, func(t *testing.T) {
			var watch stopwatch
			for i, pts := range test.in {
				watch.start(pts, at(10*i))
			}
			for i, frame := range test.frames {
				if got := watch.stop(frame, test.kind, at(100)); got != test.want[i] {
					t.Errorf("frame %d took %s, want %s", i, got, test.want[i])
				}
			}
			if len(watch.inside) > maxTimed {
				t.Errorf("holds %d, want %d at most", len(watch.inside), maxTimed)
			}
		})
	}
}
