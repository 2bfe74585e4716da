package pipeline

import (
	"sync"
	"time"
)

// reception is what a remote reports about one source of ours: an RTCP report
// block (RFC 3550, section 6.4.1).
type reception struct {
	highest   uint32 // sequence number that arrived, with its cycles
	lost      int32
	jitter    uint32        // in units of the clock of the media
	roundTrip time.Duration // 0 if it is not known
}

// receptions are the newest ones. The statistics of webrtcbin 1.22 keep but the
// last block of what a remote reports, whichever source it is about: that of
// the retransmissions, say, which stands still when nothing is lost.
type receptions struct {
	mu sync.Mutex
	of map[uint32]reception // by the SSRC; with an entry for each source of ours
	// reported is when the last report came, and advanced when one last told that
	// more had arrived, or more could not.
	reported, advanced time.Time
}

// expect begins to keep what is said about a source.
func (r *receptions) expect(ssrc uint32, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = make(map[uint32]reception)
	}
	r.of[ssrc] = reception{}
	r.advanced = now
}

// note is for any goroutine.
func (r *receptions) note(ssrc uint32, newest reception, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ours := r.of[ssrc]
	if !ours {
		return
	}
	if newest.roundTrip == 0 {
		newest.roundTrip = last.roundTrip
	}
	r.of[ssrc] = newest
	r.reported = now
	if newest.highest != last.highest {
		r.advanced = now
	}
}

// report is for a report that has nothing about any source, as long as nothing has
// arrived, or no more.
func (r *receptions) report(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reported = now
}

// pause is for when nothing is sent, so that nothing more can arrive.
func (r *receptions) pause(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advanced = now
}

// standstill is for how long reports have come that tell of nothing more. Without
// any nothing is known: those of GStreamer come many seconds apart when it misses
// packets.
func (r *receptions) standstill() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, r.reported.Sub(r.advanced))
}

func (r *receptions) get(ssrc uint32) reception {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[ssrc]
}

// shortNTP is the middle of an NTP timestamp: seconds, and 16 bits behind the
// point (RFC 3550, section 4).
func shortNTP(t time.Time) uint32 {
	const from1900 = 2_208_988_800 // to 1970, in seconds
	return uint32(t.Unix()+from1900)<<16 | uint32(uint64(t.Nanosecond())<<16/uint64(time.Second))
}

// roundTrip is how long it takes to a remote and back, from a report block that
// arrived just now: it has the time of our last report, and for how long the
// remote had had that.
func roundTrip(now time.Time, lastReport, delay uint32) time.Duration {
	elapsed := int32(shortNTP(now) - lastReport - delay)
	if lastReport == 0 || elapsed < 0 {
		return 0
	}
	return time.Duration(elapsed) * time.Second >> 16
}
