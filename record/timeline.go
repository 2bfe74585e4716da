package record

import "time"

const (
	// aheadOfArrival is how much further than the clock a PTS may go from one
	// frame to the next: what waited in queues comes all at once.
	aheadOfArrival = 10 * time.Second
	// jitter is how far back a PTS may go within a track and be raised.
	jitter = time.Second
	// skew is how far the first frame of a track may lie before that of another.
	skew = 10 * time.Second
	// step is the least between two frames of a track: Matroska's unit.
	step = time.Millisecond
	// maxPTS leaves room for sums; no clock gets there.
	maxPTS = 1 << 60
)

// timeline turns the PTS of all tracks into one time that only jumps when the
// arrival of the frames does: after a pause of minutes there is a gap of minutes,
// but a clock that was set, or that lies, does not make hours of it.
type timeline struct {
	begun  bool
	latest moment // the latest frame of any track
	offset time.Duration
}

// moment is when a frame is to be shown, and when it came.
type moment struct {
	at      time.Duration
	arrived time.Time
}

// position is where a track is on the timeline.
type position struct {
	begun  bool
	last   moment
	offset time.Duration // what is added to its PTS
}

// place gives a track's next frame its time, which is later than that of the one
// before.
func (l *timeline) place(p *position, pts time.Duration, now time.Time) time.Duration {
	pts = min(max(pts, -maxPTS), maxPTS)
	reference, back := p.last, jitter
	if !p.begun {
		reference, back, p.offset = l.latest, skew, l.offset
	}
	if l.begun && !l.fits(pts+p.offset, reference, back, now) {
		p.offset = l.newOffset(pts, reference, back, now)
	}
	at := pts + p.offset
	if p.begun {
		at = max(at, p.last.at+step)
	}
	p.begun, p.last = true, moment{at, now}
	if !l.begun || at > l.latest.at {
		l.latest = p.last
	}
	l.begun = true
	return at
}

// newOffset finds one that makes a PTS fit after a jump: none, for a clock that
// is right again; the one of another track that jumped as well, so that both stay
// together; or one that puts the frame where its arrival does.
func (l *timeline) newOffset(pts time.Duration, reference moment, back time.Duration, now time.Time) time.Duration {
	for _, offset := range []time.Duration{0, l.offset} {
		if l.fits(pts+offset, reference, back, now) {
			return offset
		}
	}
	l.offset = reference.at + max(now.Sub(reference.arrived), step) - pts
	return l.offset
}

func (l *timeline) fits(at time.Duration, reference moment, back time.Duration, now time.Time) bool {
	moved := at - reference.at
	return moved >= -back && moved <= max(now.Sub(reference.arrived), 0)+aheadOfArrival
}
