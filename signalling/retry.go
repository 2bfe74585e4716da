package signalling

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	minRetry = 500 * time.Millisecond // at most that before the first attempt
	maxRetry = 30 * time.Second       // at most that before any

	// steadyAfter is how long a connection must last to count as a success:
	// what works for a moment and breaks again is not retried in a tight loop.
	steadyAfter = 10 * time.Second

	// forgiveEvery so long an end that looks like no failure may be one.
	forgiveEvery = time.Second

	// refusalPatience is how long a relay may refuse a client that comes back. For
	// so long it may hold the uid for a connection that it does not know to be lost.
	refusalPatience = 30 * time.Second
)

// retry says how long to wait before each attempt to connect again: exponential
// back-off with full jitter, so that many clients that lost the same relay do
// not come back to it in step.
type retry struct {
	backoff backoff.ExponentialBackOff
	since   time.Time // when the last attempt succeeded; zero after that connection

	forgiven time.Time // when forgive has said so

	refusedSince time.Time // or when refused has said so last; zero before
}

// newRetry is for a client that is connected.
func newRetry() retry {
	// A factor of 1 spreads each wait from 0 to twice the interval.
	return retry{
		backoff: backoff.ExponentialBackOff{
			InitialInterval:     minRetry / 2,
			MaxInterval:         maxRetry / 2,
			Multiplier:          backoff.DefaultMultiplier,
			RandomizationFactor: 1,
		},
		since: time.Now(),
	}
}

func (r *retry) succeeded() { r.since, r.refusedSince = time.Now(), time.Time{} }

// ended says that the connection has ended. It may be called repeatedly.
func (r *retry) ended() {
	if !r.since.IsZero() && time.Since(r.since) >= steadyAfter {
		r.backoff.Reset()
	}
	r.since = time.Time{}
}

// refused notes that an attempt was refused, and tells whether that has lasted for
// so long that it is worth a word.
func (r *retry) refused() bool {
	switch now := time.Now(); {
	case r.refusedSince.IsZero():
		r.refusedSince = now
	case now.Sub(r.refusedSince) >= refusalPatience:
		r.refusedSince = now
		return true
	}
	return false
}

// forgive tells whether the next attempt may come at once, because the end of the
// connection was no failure, or does not look so: that is believed once a second.
func (r *retry) forgive() bool {
	if time.Since(r.forgiven) < forgiveEvery {
		return false
	}
	r.forgiven = time.Now()
	return true
}

// wait returns when the next attempt is due, or false when ctx has ended.
func (r *retry) wait(ctx context.Context) bool {
	r.ended()
	due := time.NewTimer(r.backoff.NextBackOff())
	defer due.Stop()
	select {
	case <-due.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
