package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// ErrSourceLost is wrapped by the error for a source that was lost after it had
// been there.
var ErrSourceLost = errors.New("source lost")

// errEnded is for a source that comes to its end.
var errEnded = errors.New("it ended")

// How soon a lost source is opened again: with full jitter, up to half a second
// at first.
const (
	firstReopening = 500 * time.Millisecond
	lastReopening  = 30 * time.Second

	// steadySource is how long a source must last for the next attempt to come
	// soon: one that only ever delivers a moment is not opened in a tight loop.
	steadySource = 10 * time.Second
)

// newReopening says how long to wait before each attempt.
func newReopening(longest time.Duration) backoff.ExponentialBackOff {
	return backoff.ExponentialBackOff{ // whose factor of 1 is from 0 to twice the interval
		InitialInterval:     min(firstReopening, longest) / 2,
		MaxInterval:         longest / 2,
		Multiplier:          backoff.DefaultMultiplier,
		RandomizationFactor: 1,
	}
}

// sourceLimits say when a source is lost, and what then.
type sourceLimits struct {
	// start is the longest until the first frame, stall that between two.
	start, stall time.Duration
	// fatal makes the loss of the source an error.
	fatal bool
}

// SourceState is how a source is.
type SourceState struct {
	// Name is how errors call it.
	Name  string
	Kinds []Kind
	// Lost is true while a slate and silence stand in for it.
	Lost bool
	// Since is when it was lost or found; zero before its first frame.
	Since time.Time
	// Err says why it was lost, or could not be opened since; nil unless Lost.
	Err error
}

// run captures until ctx ends. A source that fails before its first frame is an
// error, and so is a later loss where that is wanted. It returns after its last
// goroutine.
func (c *capture) run(ctx context.Context) error {
	defer c.standby.end()
	for {
		before := c.captured()
		err := c.play(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case !c.started[c.spec.kinds[0]].isUp():
			return c.explain(err)
		case c.loops(err) && c.captured() > before:
			c.restarts++
			c.log.Debug("source starts again", "source", c.spec.name)
			continue
		case c.limits.fatal:
			return fmt.Errorf("%w: %w", ErrSourceLost, c.explain(err))
		}
		c.lose(ctx, err)
		if !awaitEnd(ctx, err) || !c.pause(ctx) {
			return nil
		}
	}
}

// loops says whether a source has only come to the end of a round.
func (c *capture) loops(err error) bool { return c.spec.loop && err == errEnded }

// awaitEnd waits for the end of an attempt that hangs, so that never more than
// one does. It returns false when ctx ended.
func awaitEnd(ctx context.Context, err error) bool {
	var hang hangError
	if !errors.As(err, &hang) {
		return true
	}
	select {
	case <-hang.over:
		return true
	case <-ctx.Done():
		return false
	}
}

// pause waits until the next attempt is due. It returns false when ctx ended.
func (c *capture) pause(ctx context.Context) bool {
	wait := c.retry.NextBackOff()
	c.log.Debug("source will be opened again", "source", c.spec.name, "in", wait, "error", c.sourceState().Err)
	due := time.NewTimer(wait)
	defer due.Stop()
	select {
	case <-due.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// lose lets a slate and silence stand in for the source, unless they do.
func (c *capture) lose(ctx context.Context, err error) {
	first := c.spec.kinds[0]
	if ctx.Err() != nil || c.limits.fatal || !c.started[first].isUp() {
		return
	}
	err = c.explain(err)
	c.mu.Lock()
	lost, since := c.state.Lost, c.state.Since
	c.state.Lost, c.state.Err = true, err
	if !lost {
		c.state.Since = time.Now()
	}
	c.mu.Unlock()
	if lost {
		return
	}
	c.log.Warn("source lost, it will be opened again", "error", err)
	if time.Since(since) >= steadySource {
		c.retry.Reset()
	}
	c.standby.begin(ctx, c)
}

// found says that the source is there.
func (c *capture) found() {
	c.mu.Lock()
	lost, since := c.state.Lost, c.state.Since
	c.state.Lost, c.state.Since, c.state.Err = false, time.Now(), nil
	c.mu.Unlock()
	if lost {
		c.log.Info("source back", "source", c.spec.name, "after", time.Since(since).Round(time.Millisecond))
	}
}

func (c *capture) sourceState() SourceState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// captured is the number of buffers of its first kind that the source delivered.
func (c *capture) captured() uint64 { return c.outlets[c.spec.kinds[0]].captured() }

// stalled finds a source that delivers nothing any more, or nothing after it was
// opened again. Of sound and picture, the picture counts.
func (c *capture) stalled() error {
	o := c.outlets[c.spec.kinds[0]]
	silence, waiting := o.silence()
	var interval time.Duration
	if o.kind == Video {
		interval = o.format().interval
	}
	limit := c.limits.stall
	switch {
	case !c.started[o.kind].isUp():
		return nil // Open has a limit of its own
	case waiting:
		limit = c.limits.start
	case o.kind == Video && !c.spec.watched(interval):
		return nil
	}
	limit = max(limit, 3*interval)
	if silence < limit {
		return nil
	}
	return fmt.Errorf("%w: no %s for %s", ErrNoMedia, o.kind, limit)
}

// standIns are the goroutines that stand in for a lost source. They are owned by
// capture.run.
type standIns struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// begin makes up for each kind of media that the source has delivered.
func (s *standIns) begin(ctx context.Context, c *capture) {
	s.end()
	ctx, s.cancel = context.WithCancel(ctx)
	for kind, o := range c.outlets {
		switch {
		case !o.lose():
		case kind == Video:
			s.running.Go(func() { c.showSlate(ctx, o, c.spec.slate) })
		default:
			s.running.Go(func() { c.beSilent(ctx, o) })
		}
	}
}

// end may be called twice.
func (s *standIns) end() {
	if s.cancel != nil {
		s.cancel()
	}
	s.running.Wait()
}
