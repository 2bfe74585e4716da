package iceconfig

import (
	"context"
	"log/slog"
	"time"
)

// When a relay is asked again.
const (
	firstRetry = 2 * time.Second
	lastRetry  = time.Minute
	// shortestLife keeps a relay whose credentials end at once from being asked
	// without a pause.
	shortestLife = 10 * time.Second
)

// Follower keeps ICE servers as new as their credentials want it. Make one with
// NewFollower, then call First, then Run.
type Follower struct {
	take  func(context.Context) (lifetime time.Duration, err error)
	log   *slog.Logger
	asked chan struct{}

	// Owned by First, then by Run.
	lifetime time.Duration
	failed   bool
	retry    time.Duration
}

// NewFollower makes a Follower of a function that gets servers from the relay
// and puts them to use. It tells how long they are good for, 0 for ever.
func NewFollower(log *slog.Logger, take func(context.Context) (time.Duration, error)) *Follower {
	return &Follower{take: take, log: log, asked: make(chan struct{}, 1), retry: firstRetry}
}

// First gets servers for the first time. Run tries again after an error.
func (f *Follower) First(ctx context.Context) error {
	lifetime, err := f.take(ctx)
	f.lifetime, f.failed = lifetime, err != nil
	return err
}

// Refresh has the relay asked anew: it was away, and may have changed.
func (f *Follower) Refresh() {
	select {
	case f.asked <- struct{}{}:
	default: // it is going to be
	}
}

// Run asks again in good time, until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	for f.wait(ctx) {
		lifetime, err := f.take(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			f.lifetime, f.failed, f.retry = lifetime, false, firstRetry
			f.log.Debug("ICE servers are up to date", "for", lifetime)
		case !f.failed: // the first in a row
			f.failed = true
			f.log.Warn("no new ICE servers from the relay, will ask again", "error", err)
		}
	}
}

// wait returns when it is time to ask: with a fifth of the lifetime to spare, or
// after a failure a while that doubles. It returns false when ctx has ended.
func (f *Follower) wait(ctx context.Context) bool {
	var due <-chan time.Time
	switch {
	case f.failed:
		due = time.After(f.retry)
		f.retry = min(2*f.retry, lastRetry)
	case f.lifetime > 0:
		due = time.After(max(f.lifetime, shortestLife) / 5 * 4)
	}
	select {
	case <-due:
		return true
	case <-f.asked:
		return true
	case <-ctx.Done():
		return false
	}
}
