package pipeline

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-gst/go-gst/gst"
)

// logged collects what is logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) count(text string) int { return strings.Count(l.String(), text) }

// await waits for a line with all these texts.
func (l *logged) await(t testing.TB, texts ...string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		for line := range strings.Lines(l.String()) {
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no line with %q after 20 s:\n%s", texts, l)
		}
	}
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// TestLogGStreamer has GStreamer warn.
func TestLogGStreamer(t *testing.T) {
	t.Setenv("GST_DEBUG", "")
	var said logged
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { LogGStreamer(ctx, said.logger()) })
	initialize()
	category := gst.NewDebugCategory("gstpeer-test", 0, "only for a test")
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(said.String(), "level=WARN msg=gstreamer category=gstpeer-test") {
		if time.Now().After(deadline) {
			t.Fatalf("20 s after a warning:\n%s", said.String())
		}
		category.LogWarning("this is a test")
		category.LogInfo("this is not heard")
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	running.Wait()
	if text := said.String(); strings.Count(text, "this is a test") != 1 || strings.Contains(text, "not heard") {
		t.Errorf("got\n%s", text)
	}
}

// TestRepeats: what goes on is logged once a minute, with a count.
func TestRepeats(t *testing.T) {
	var said logged
	r := repeats{log: said.logger(), seen: make(map[place]*repeat)}
	start := time.Now()
	for second := range 150 {
		now := start.Add(time.Duration(second) * time.Second)
		if second < 90 {
			r.take(entry{level: slog.LevelWarn, place: place{"a", "often", 1}, text: "again"}, now)
		}
		if second == 30 {
			r.take(entry{level: slog.LevelError, place: place{"a", "once", 1}, text: "other"}, now)
		}
		r.tick(now)
	}
	text := said.String()
	for want, times := range map[string]int{"text=again\n": 1, "text=again times=60": 1, "text=again times=29": 1, "level=ERROR": 1} {
		if strings.Count(text, want) != times {
			t.Errorf("%q is there %d times, want %d:\n%s", want, strings.Count(text, want), times, text)
		}
	}
	r.tick(start.Add(time.Hour))
	if len(r.seen) != 0 {
		t.Error("what is over is not forgotten")
	}
}
