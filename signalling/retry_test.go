package signalling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// waited is how long a retry waits, in the time of a synctest bubble.
func waited(t *testing.T, r *retry) time.Duration {
	t.Helper()
	start := time.Now()
	if !r.wait(t.Context()) {
		t.Fatal("the wait was ended")
	}
	return time.Since(start)
}

func TestRetryGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const runs, attempts = 400, 15
		var sums [attempts]time.Duration
		for range runs {
			r := newRetry()
			limit := minRetry
			for i := range attempts {
				wait := waited(t, &r)
				if wait > limit {
					t.Fatalf("attempt %d after %v, want at most %v", i, wait, limit)
				}
				sums[i] += wait
				limit = min(maxRetry, limit*3/2)
			}
		}
		limit := float64(minRetry)
		for i, sum := range sums { // full jitter: evenly from 0, so half of the limit on average
			mean, want := float64(sum)/runs, limit/2
			if math.Abs(mean-want) > want/4 { // 8 standard deviations
				t.Errorf("attempt %d after %v on average, want %v", i, time.Duration(mean), time.Duration(want))
			}
			limit = min(float64(maxRetry), limit*1.5)
		}
	})
}

func TestRetryForgetsAfterSuccess(t *testing.T) {
	for _, test := range []struct {
		lasts time.Duration
		limit time.Duration
	}{
		{steadyAfter, minRetry},
		{steadyAfter - 1, maxRetry},
	} {
		synctest.Test(t, func(t *testing.T) {
			longest := time.Duration(0)
			for range 50 {
				r := newRetry()
				for range 15 {
					waited(t, &r)
				}
				r.succeeded()
				time.Sleep(test.lasts)
				longest = max(longest, waited(t, &r))
			}
			if longest > test.limit || longest < test.limit/2 {
				t.Errorf("after a connection of %v: up to %v, want up to %v", test.lasts, longest, test.limit)
			}
		})
	}
}

// TestRetryForgives holds that ends that look like no failure are one if there
// are many.
func TestRetryForgives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetry()
		for range 3 {
			if !r.forgive() {
				t.Error("the first time of a second is not forgiven")
			}
			time.Sleep(forgiveEvery - 1)
			if r.forgive() {
				t.Error("the second time of a second is forgiven")
			}
			time.Sleep(time.Nanosecond)
		}
	})
}

func TestRetryEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetry()
		for range 20 {
			waited(t, &r)
		}
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		go cancel()
		if r.wait(ctx) || time.Since(start) != 0 {
			t.Errorf("waited for %v, want the wait to be ended", time.Since(start))
		}
	})
}

// TestRefusedForLong: whose relay is there and refuses it hears of that, but not of
// what passes, nor of a relay that is away.
func TestRefusedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{events: make(chan Event, maxEvents), closing: t.Context(), log: slog.New(slog.DiscardHandler), retry: newRetry()}
		fail := func(err error) {
			t.Helper()
			c.noteFailure("the relay is still away", err)
		}
		heard := func(want ...error) {
			t.Helper()
			for _, cause := range want {
				if e := (<-c.events).(Refused); !errors.Is(e.Cause, cause) {
					t.Errorf("refused because of %v, want %v", e.Cause, cause)
				}
			}
			if n := len(c.events); n != 0 {
				t.Errorf("%d further events", n)
			}
		}
		uidTaken, away := fmt.Errorf("%w: it is taken", ErrUIDRefused), fmt.Errorf("%w: nothing listens", ErrDial)
		fail(uidTaken)
		time.Sleep(refusalPatience - time.Second)
		fail(uidTaken)
		heard()
		fail(away)
		time.Sleep(refusalPatience)
		fail(uidTaken)
		heard()
		time.Sleep(refusalPatience)
		fail(uidTaken)
		fail(uidTaken)
		heard(ErrUIDRefused)
		time.Sleep(refusalPatience)
		fail(fmt.Errorf("%w: HTTP 503", errRefused))
		heard(ErrDial)
		c.retry.succeeded()
		fail(uidTaken)
		heard()
	})
}
