package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// holdings is what a process holds that a lost webrtcbin would not give back.
type holdings struct {
	webrtcbins  int
	descriptors int
	goroutines  int
	// threads by name, without its number, and without those of the Go runtime,
	// which it keeps.
	threads map[string]int
}

var digits = regexp.MustCompile(`\d+`)

func currentHoldings(t testing.TB) holdings {
	t.Helper()
	own, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	h := holdings{webrtcbins: webrtcbinsAlive(), goroutines: runtime.NumGoroutine(), threads: make(map[string]int)}
	tasks, _ := filepath.Glob("/proc/self/task/*/comm")
	for _, task := range tasks {
		if name, err := os.ReadFile(task); err == nil && string(name) != string(own) {
			h.threads[digits.ReplaceAllString(strings.TrimSpace(string(name)), "#")]++
		}
	}
	descriptors, _ := filepath.Glob("/proc/self/fd/*")
	h.descriptors = len(descriptors)
	return h
}

// runtimeThreads is how many threads of the Go runtime may bear the name of one
// of GStreamer's: those that it started during a callback.
const runtimeThreads = 4

// fits says whether no more is held than before.
func (h holdings) fits(before holdings) bool {
	more := 0
	for name, n := range h.threads {
		more += max(0, n-before.threads[name])
	}
	return h.webrtcbins <= before.webrtcbins && h.descriptors <= before.descriptors && h.goroutines <= before.goroutines && more <= runtimeThreads
}

// awaitHoldings waits until no more is held than before.
func awaitHoldings(t *testing.T, before holdings) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		now := currentHoldings(t)
		if now.fits(before) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not given back after 60 s:\nbefore %+v\nnow    %+v", before, now)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// visit lets viewers join and leave, a few at a time. One of three leaves
// without a word, and its LEFT comes later, as when a page is closed.
func visit(t *testing.T, p *Pipeline, board *switchboard, round string, n int) {
	t.Helper()
	var visits sync.WaitGroup
	places := make(chan struct{}, 4)
	for i := range n {
		places <- struct{}{}
		visits.Go(func() {
			defer func() { <-places }()
			r := newRemote(t, board, p, fmt.Sprint(round, i))
			if i%2 == 0 {
				r.offer(webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio)
			} else {
				p.Offer(r.uid)
			}
			r.awaitKeyframe()
			if i%3 == 0 {
				r.close()
				p.Remove(r.uid)
				return
			}
			p.Remove(r.uid)
			r.close()
		})
	}
	visits.Wait()
}

func TestViewersComeAndGo(t *testing.T) {
	p, board := openTest(t, nil)
	stays := newRemote(t, board, p, "stays")
	defer stays.close()
	stays.offer(webrtc.RTPCodecTypeVideo)
	track := stays.awaitTrack()
	track.awaitFrames(t, 30)
	before := currentHoldings(t)

	source := watchSource(t, p.tracks[VP8])
	visit(t, p, board, "visitor", 100)
	source.Close()
	sourceGap := source.longest()

	track.mu.Lock()
	gaps, longest, frames := track.gaps, track.longest, track.frames
	track.mu.Unlock()
	t.Logf("%d frames arrived, the longest gap between two was %s; at the source it was %s", frames, longest, sourceGap)
	if gaps != 0 {
		t.Errorf("%d packets are missing", gaps)
	}
	if longest > 200*time.Millisecond && longest > sourceGap+100*time.Millisecond {
		t.Errorf("the picture stood still for %s, at the source for %s", longest, sourceGap)
	}
	awaitAlone(t, p)
	awaitHoldings(t, before)
	if now := currentHoldings(t); now.webrtcbins != 1 {
		t.Errorf("%d webrtcbins are alive, want the one of the viewer who stayed", now.webrtcbins)
	}
}

func awaitAlone(t *testing.T, p *Pipeline) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); p.Peers() > 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d peers are left", p.Peers())
		}
	}
}

// sourceWatch notes the longest gap between two frames of a track.
type sourceWatch struct {
	*Subscription
	gap chan time.Duration
}

func watchSource(t *testing.T, track *Track) *sourceWatch {
	w := &sourceWatch{Subscription: track.Subscribe(), gap: make(chan time.Duration, 1)}
	go func() {
		var longest time.Duration
		var last time.Time
		for {
			if _, err := w.Next(t.Context()); err != nil {
				w.gap <- longest
				return
			}
			now := time.Now()
			if !last.IsZero() {
				longest = max(longest, now.Sub(last))
			}
			last = now
		}
	}()
	return w
}

func (w *sourceWatch) longest() time.Duration { return <-w.gap }
