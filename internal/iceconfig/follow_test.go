package iceconfig

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// follow runs a Follower of a relay whose answers are given, for a time, and tells
// when the relay was asked.
func follow(t *testing.T, log *slog.Logger, length time.Duration, meanwhile func(*Follower), answers ...any) []time.Duration {
	t.Helper()
	var asked []time.Duration
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f := NewFollower(log, func(context.Context) (time.Duration, error) {
			answer := answers[min(len(asked), len(answers)-1)]
			asked = append(asked, time.Since(start))
			if err, failed := answer.(error); failed {
				return 0, err
			}
			return answer.(time.Duration), nil
		})
		_ = f.First(t.Context()) // is among the answers
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		go meanwhile(f)
		f.Run(ctx)
	})
	return asked
}

func TestFollower(t *testing.T) {
	gone := errors.New("gone")
	s := time.Second
	for name, c := range map[string]struct {
		answers   []any
		meanwhile func(*Follower)
		want      []time.Duration
		warnings  int
	}{
		"for ever":       {answers: []any{0 * s}, want: []time.Duration{0}},
		"in good time":   {answers: []any{100 * s}, want: []time.Duration{0, 80 * s, 160 * s, 240 * s}},
		"very long":      {answers: []any{time.Duration(math.MaxInt64)}, want: []time.Duration{0}},
		"too short":      {answers: []any{200 * s, s, 200 * s}, want: []time.Duration{0, 160 * s, 168 * s}},
		"fails at first": {answers: []any{gone, gone, gone, 0 * s}, want: []time.Duration{0, 2 * s, 6 * s, 14 * s}},
		"fails later": {answers: []any{100 * s, gone, gone, 100 * s, gone, 1000 * s}, warnings: 2,
			want: []time.Duration{0, 80 * s, 82 * s, 86 * s, 166 * s, 168 * s}},
		"relay is back": {answers: []any{200 * s}, want: []time.Duration{0, 10 * s, 170 * s},
			meanwhile: func(f *Follower) { time.Sleep(10 * s); f.Refresh() }},
		"relay is back, no lifetime": {answers: []any{0 * s}, want: []time.Duration{0, 10 * s},
			meanwhile: func(f *Follower) { time.Sleep(10 * s); f.Refresh() }},
	} {
		t.Run(name, func(t *testing.T) {
			if c.meanwhile == nil {
				c.meanwhile = func(*Follower) {}
			}
			var log bytes.Buffer
			got := follow(t, slog.New(slog.NewTextHandler(&log, nil)), 250*s, c.meanwhile, c.answers...)
			if !slices.Equal(got, c.want) {
				t.Errorf("asked at %v, want %v", got, c.want)
			}
			if n := strings.Count(log.String(), "level=WARN"); n != c.warnings {
				t.Errorf("%d warnings, want %d", n, c.warnings)
			}
		})
	}
}

func TestFollowerSlowsDown(t *testing.T) {
	asked := follow(t, slog.New(slog.DiscardHandler), time.Hour, func(*Follower) {}, errors.New("gone"))
	if n := len(asked); n < 60 || n > 66 {
		t.Errorf("asked %d times in an hour, want about once a minute", n)
	}
}
