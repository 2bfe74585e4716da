package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gstpeer/gstpeer/signalling"
)

// newIdlePeer makes a peer that nothing runs for.
func newIdlePeer(t *testing.T) *Peer {
	p := newPeer(&Pipeline{log: slog.New(slog.DiscardHandler), connectTimeout: defaultConnectTimeout}, "x", false, nil)
	t.Cleanup(func() { p.end(nil) })
	return p
}

// TestConnectedAtTheLimit: a connection that comes about while the time for it runs
// out goes on.
func TestConnectedAtTheLimit(t *testing.T) {
	for _, playing := range []bool{false, true} {
		p := newIdlePeer(t)
		p.takesTooLong()
		p.playing = playing // by an operation that was queued before
		if err := (<-p.ops)(); (err == nil) != playing {
			t.Errorf("playing %t: got %v at the time limit", playing, err)
		}
	}
}

// TestErrorOfDTLS: what fails after the keys were agreed on is not their agreement.
func TestErrorOfDTLS(t *testing.T) {
	for _, played := range []bool{false, true} {
		p := newIdlePeer(t)
		p.played.Store(played)
		p.onError("dtlsdec", errors.New("closed"))
		if err := context.Cause(p.ctx); errors.Is(err, errDTLS) == played || !errors.Is(err, ErrConnectionFailed) {
			t.Errorf("played %t: ended with %v", played, err)
		}
	}
}

// TestClosedByRemote: what fails below a connection that was there is that the remote
// has closed it.
func TestClosedByRemote(t *testing.T) {
	for element, want := range map[string]bool{"sctpenc": true, "dtlssrtpenc": true, "nicesink": false} {
		p := newIdlePeer(t)
		p.played.Store(true)
		p.onError(element, errors.New("could not write"))
		if err := context.Cause(p.ctx); errors.Is(err, errClosed) != want || !errors.Is(err, ErrConnectionFailed) {
			t.Errorf("%s: ended with %v", element, err)
		}
	}
}

// noRelay is a Signaller whose relay is away.
type noRelay struct{ Signaller }

func (noRelay) SendCandidate(context.Context, string, signalling.Candidate) error {
	return signalling.ErrNoCall
}

// TestCandidateWithoutRelay: one that cannot be sent ends no connection that is
// there.
func TestCandidateWithoutRelay(t *testing.T) {
	for _, playing := range []bool{false, true} {
		p := newIdlePeer(t)
		p.signaller, p.playing = noRelay{}, playing
		err := p.sendCandidate(signalling.Candidate{Candidate: "candidate:1 1 UDP 1 192.0.2.1 9 typ host"})
		if (err == nil) != playing {
			t.Errorf("playing %t: got %v", playing, err)
		}
	}
}

// TestReceiverHangs: one that hangs, as a disk does, holds up neither the end of
// the peer nor those beside it.
func TestReceiverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIdlePeer(t)
		hangs, well := newSlowReceiver(), newSlowReceiver()
		close(well.proceed)
		p.receivers = []receiver{hangs, well}
		start := time.Now()
		p.closeReceivers()
		if took := time.Since(start); took != changeTimeout {
			t.Errorf("took %s, want %s", took, changeTimeout)
		}
		<-well.closing
		close(hangs.proceed)
	})
}
