package pipeline

import (
	"errors"
	"math/rand/v2"
	"time"
)

// What getting lost media back may take.
const (
	// againTimeout is how long a remote may take to answer an offer that is to
	// get lost media back. One that does not answer has vanished.
	againTimeout = 8 * time.Second
	firstDelay   = 500 * time.Millisecond
	longestDelay = 30 * time.Second
)

// nextAttempt says whether and when to offer to the remote again, after the peer
// has ended for a reason: if it is ours to offer and the remote is there, which
// it is as long as it answers.
func (p *Peer) nextAttempt(reason error) (attempt, bool) {
	if !p.offers || !p.answered.Load() || !errors.Is(reason, ErrConnectionFailed) && !errors.Is(reason, ErrMediaLost) {
		return attempt{}, false
	}
	next := attempt{failures: p.attempt.failures + 1, timeout: againTimeout}
	if p.playedForLong() {
		next.failures = 0
	}
	if next.failures > 0 { // exponential, with full jitter
		limit := min(longestDelay, firstDelay<<min(next.failures, 10))
		next.delay = firstDelay/2 + rand.N(limit)
	}
	return next, true
}

// playedForLong says whether the connection was a good one, after which the next
// attempt may come at once.
func (p *Peer) playedForLong() bool {
	return p.playing && time.Since(p.born) > longestDelay/2
}
