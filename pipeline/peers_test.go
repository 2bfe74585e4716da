package pipeline

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/pion/webrtc/v4"
)

// endObserver holds up the end of the first peer.
type endObserver struct {
	unobserved
	once           sync.Once
	ended, proceed chan struct{}
}

func (o *endObserver) Ended(error) {
	o.once.Do(func() {
		close(o.ended)
		<-o.proceed
	})
}

// slowReceiver takes its time to close.
type slowReceiver struct{ closing, proceed chan struct{} }

func newSlowReceiver() slowReceiver {
	return slowReceiver{closing: make(chan struct{}), proceed: make(chan struct{})}
}

func (slowReceiver) take([]*Track) {}

func (s slowReceiver) close() {
	close(s.closing)
	<-s.proceed
}

// onlyFirst has the first peer that is made have a receiver.
func (s slowReceiver) onlyFirst(p *Pipeline) {
	var once sync.Once
	p.receiverMakers = append(p.receiverMakers, func(string, *slog.Logger) (r receiver) {
		r = noReceiver{}
		once.Do(func() { r = s })
		return r
	})
}

type noReceiver struct{}

func (noReceiver) take([]*Track) {}
func (noReceiver) close()        {}

// errLost ends a peer as a network does that fails.
var errLost = fmt.Errorf("%w: nothing heard for 10 s", ErrMediaLost)

// TestRemovedWhileItEnds: who leaves while the connection to it ends is not
// offered anything any more.
func TestRemovedWhileItEnds(t *testing.T) {
	t.Run("closing", func(t *testing.T) {
		reasons := make(ends, 4)
		p, board := openTest(t, func(c *Config) { c.OnPeerEnd = reasons.add })
		slow := newSlowReceiver()
		slow.onlyFirst(p)
		removeWhileItEnds(t, p, board, slow.closing, slow.proceed)
		if len(reasons) > 0 {
			t.Errorf("told of the end of one that was removed: %s", <-reasons)
		}
	})
	t.Run("offering again", func(t *testing.T) {
		o := &endObserver{ended: make(chan struct{}), proceed: make(chan struct{})}
		p, board := openTest(t, func(c *Config) { c.Observer = o })
		removeWhileItEnds(t, p, board, o.ended, o.proceed)
	})
}

func removeWhileItEnds(t *testing.T, p *Pipeline, board *switchboard, ending, proceed chan struct{}) {
	t.Helper()
	r := newRemote(t, board, p, "leaves")
	p.Offer("leaves")
	r.awaitTrack().awaitFrames(t, 10)
	r.close()
	p.peer("leaves").end(errLost)
	<-ending
	p.Remove("leaves")
	close(proceed)
	p.ending.Wait()
	board.mu.Lock()
	defer board.mu.Unlock()
	if board.unheard > 0 || p.Peers() > 0 || len(p.lost) > 0 {
		t.Errorf("%d offers, %d peers, lost: %v after the only one has left, want none", board.unheard, p.Peers(), p.lost)
	}
}

// TestReplacedWhileItEnds: nobody is told of the end of a peer that another has
// taken the place of.
func TestReplacedWhileItEnds(t *testing.T) {
	reasons := make(ends, 4)
	p, board := openTest(t, func(c *Config) { c.OnPeerEnd = reasons.add })
	slow := newSlowReceiver()
	slow.onlyFirst(p)
	first := newRemote(t, board, p, "caller")
	first.offer(webrtc.RTPCodecTypeVideo)
	first.awaitTrack().awaitFrames(t, 10)
	first.close()
	p.peer("caller").end(ErrConnectionFailed)
	<-slow.closing
	again := newRemote(t, board, p, "caller")
	defer again.close()
	again.offer(webrtc.RTPCodecTypeVideo)
	close(slow.proceed)
	again.awaitTrack().awaitFrames(t, 10)
	if len(reasons) > 0 {
		t.Errorf("told of the end of one that was replaced: %s", <-reasons)
	}
}
