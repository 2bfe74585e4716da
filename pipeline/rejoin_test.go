package pipeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/signalling"
)

// TestRejoin comes back to a room in which much has changed.
func TestRejoin(t *testing.T) {
	p, board := openTest(t, nil)
	watching := make(map[*remote]*receivedTrack)
	for _, uid := range []string{"present", "absent"} { // who watch are not disturbed
		r := newRemote(t, board, p, uid)
		defer r.close()
		r.offer(webrtc.RTPCodecTypeVideo)
		watching[r] = r.awaitTrack()
		watching[r].awaitFrames(t, 10)
	}
	for _, uid := range []string{"asked", "gone"} { // who have not heard of our offer
		p.Offer(uid)
	}
	awaitUnheard(t, board, 2)
	var offered []*remote
	for _, uid := range []string{"asked", "new"} {
		r := newRemote(t, board, p, uid)
		defer r.close()
		offered = append(offered, r)
	}

	p.Rejoin([]string{"present", "asked", "new"})
	for _, r := range offered {
		r.awaitTrack().awaitFrames(t, 10)
	}
	for r, track := range watching {
		track.awaitFrames(t, track.snapshot().frames+10)
		if gaps := track.snapshot().gaps; gaps != 0 || len(r.tracks) > 0 {
			t.Errorf("%s: %d gaps, %d new tracks, want none", r.uid, gaps, len(r.tracks))
		}
	}
	for limit := time.Now().Add(20 * time.Second); p.Peers() != 4; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d peers, want all but the one that is gone", p.Peers())
		}
	}
}

// TestResume offers to those that another offer may reach, and to nobody else.
func TestResume(t *testing.T) {
	p, _ := openTest(t, nil)
	for uid, reason := range map[string]error{
		"silent": ErrNoAnswer, "cut": errLost, "flood": ErrFlooded, "foreign": fmt.Errorf("%w for video", ErrNoCommonCodec), "idle": ErrNothingWanted,
	} {
		p.Offer(uid)
		p.peer(uid).end(reason)
	}
	p.HandleDescription("theirs", signalling.Description{Type: signalling.Offer, SDP: pionOffer(t)})
	p.peer("theirs").end(errLost)
	awaitNobody(t, p)

	p.Resume()
	reports := p.Reports()
	if len(reports) != 2 || reports[0].UID != "cut" || reports[1].UID != "silent" {
		t.Errorf("offered to %+v, want cut and silent", reports)
	}
	for _, r := range reports {
		p.Remove(r.UID)
	}
	awaitNobody(t, p)
	p.Offer("left")
	p.peer("left").end(ErrNoAnswer)
	awaitNobody(t, p)
	p.Rejoin(nil)
	p.Resume()
	if n := p.Peers(); n != 0 {
		t.Errorf("%d peers for one who is not in the room any more", n)
	}
}

// awaitUnheard waits until that many descriptions went to nobody.
func awaitUnheard(t *testing.T, board *switchboard, n int) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		board.mu.Lock()
		unheard := board.unheard
		board.mu.Unlock()
		if unheard == n {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d descriptions went to nobody, want %d", unheard, n)
		}
	}
}
