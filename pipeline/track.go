package pipeline

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrTrackClosed is what Subscription.Next returns when the Track or the
// Subscription has ended.
var ErrTrackClosed = errors.New("pipeline: track closed")

// keyframeInterval is the shortest time between two keyframes that a Track
// asks its encoder for. Without it eight viewers on a bad network turn two
// frames of five into keyframes.
const keyframeInterval = time.Second

// What a subscriber may lag behind before it loses whole groups of pictures.
// The count leaves room for the group that a new subscriber starts with.
const (
	maxQueuedFrames = 180
	maxQueuedBytes  = 8 << 20
)

// Frame is one whole encoded frame: a picture, or 20 ms of sound.
type Frame struct {
	// Payload is shared by all subscribers: nobody may write to it.
	Payload []byte
	// PTS is when the frame was captured, on the running time that the source
	// and all peers share.
	PTS time.Duration
	// Duration is 0 where the encoder does not say.
	Duration time.Duration
	// Keyframe is true for a frame that can be decoded without any before it:
	// every frame of Opus is one.
	Keyframe bool
}

// encoder is what produces a Track's frames. Neither method may block, nor
// call back into the Track.
type encoder interface {
	// setDemand starts the encoder, or lets it rest.
	setDemand(wanted bool)
	// forceKeyframe makes the next frame a keyframe.
	forceKeyframe()
}

// Track is one live encoded stream. It hands whole frames to any number of
// subscribers, of which none can slow down another or the encoder, and turns
// their wishes for keyframes into at most one a second.
type Track struct {
	// Static.
	Codec   *Codec
	encoder encoder

	mu     sync.Mutex
	closed bool
	subs   map[*Subscription]struct{}
	// group is every frame since the last keyframe for as long as that one is
	// younger than keyframeInterval: a subscriber that comes so soon starts
	// with it, since the encoder may not be asked for another one yet.
	group        []Frame
	lastKeyframe time.Time
	lastRequest  time.Time
	// again is the one further request that is remembered; nil if there is none.
	again *time.Timer
}

func newTrack(codec *Codec, enc encoder) *Track {
	return &Track{Codec: codec, encoder: enc, subs: make(map[*Subscription]struct{})}
}

// Subscribe adds a subscriber. Its first frame is a keyframe that comes at
// once: the last one if it is younger than a second, else a new one.
func (t *Track) Subscribe() *Subscription {
	s := &Subscription{track: t, wake: make(chan struct{}, 1), waiting: true}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		s.closed = true
		return s
	}
	t.subs[s] = struct{}{}
	if len(t.subs) == 1 {
		t.encoder.setDemand(true)
	}
	if t.groupIsYoung() {
		s.start(t.group)
	} else {
		t.requestKeyframe()
	}
	return s
}

// RequestKeyframe asks for a keyframe: for a subscriber's receiver that lost
// its picture (RTCP PLI or FIR). The encoder is asked at most once a second; a
// request that comes too soon is carried out when that second is over.
func (t *Track) RequestKeyframe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requestKeyframe()
}

// requestKeyframe needs t.mu.
func (t *Track) requestKeyframe() {
	if t.closed || t.again != nil {
		return
	}
	wait := keyframeInterval - time.Since(later(t.lastRequest, t.lastKeyframe))
	if wait <= 0 {
		t.forceKeyframe()
		return
	}
	t.again = time.AfterFunc(wait, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.again = nil
		if !t.closed {
			t.forceKeyframe()
		}
	})
}

// forceKeyframe needs t.mu.
func (t *Track) forceKeyframe() {
	t.lastRequest = time.Now()
	t.encoder.forceKeyframe()
}

// publish hands a frame to every subscriber. It never blocks.
func (t *Track) publish(f Frame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.remember(f)
	for s := range t.subs {
		if s.enqueue(f) {
			t.requestKeyframe()
		}
	}
}

// remember keeps the young group up to date; it needs t.mu.
func (t *Track) remember(f Frame) {
	switch {
	case f.Keyframe:
		t.lastKeyframe = time.Now()
		t.group = append(t.group[:0:0], f)
		if t.again != nil { // this one answers the request that waits
			t.again.Stop()
			t.again = nil
		}
	case t.groupIsYoung():
		t.group = append(t.group, f)
	default:
		t.group = nil
	}
}

// groupIsYoung needs t.mu.
func (t *Track) groupIsYoung() bool {
	return len(t.group) > 0 && time.Since(t.lastKeyframe) < keyframeInterval
}

// reset forgets the group: what the encoder produces next does not follow it.
func (t *Track) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.group = nil
}

// close ends all subscriptions. It may be called twice.
func (t *Track) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.again != nil {
		t.again.Stop()
		t.again = nil
	}
	for s := range t.subs {
		delete(t.subs, s)
		s.end()
	}
}

func (t *Track) unsubscribe(s *Subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.subs[s]; !ok {
		return
	}
	delete(t.subs, s)
	if len(t.subs) == 0 {
		t.encoder.setDemand(false)
	}
}

// Subscription is one subscriber's bounded queue of frames. A subscriber that
// lags loses whole groups of pictures, never a single frame from the middle of
// one. Locks are taken in the order Track.mu, Subscription.mu.
type Subscription struct {
	// Static.
	track *Track
	wake  chan struct{} // holds one token while there is something new

	mu      sync.Mutex
	queue   []Frame
	bytes   int
	waiting bool // for a keyframe; all other frames are dropped
	started bool // it has had its first keyframe
	lost    int
	closed  bool
}

// Next waits for the next frame, in order. It returns ErrTrackClosed after the
// end, or the error of ctx.
func (s *Subscription) Next(ctx context.Context) (Frame, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return Frame{}, ErrTrackClosed
		}
		if len(s.queue) > 0 {
			f := s.queue[0]
			s.queue[0] = Frame{}
			s.queue = s.queue[1:]
			s.bytes -= len(f.Payload)
			s.mu.Unlock()
			return f, nil
		}
		s.mu.Unlock()
		select {
		case <-s.wake:
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
}

// Lost is how many frames the subscriber was too slow for.
func (s *Subscription) Lost() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Close ends the subscription. It may be called twice, and while another
// goroutine waits in Next.
func (s *Subscription) Close() {
	s.track.unsubscribe(s)
	s.end()
}

// start fills the queue of a new subscription with the group that plays just
// now. The old frames get timestamps one millisecond apart up to the newest,
// which is right: a receiver that took them at their old pace would stay
// behind by the age of the group.
func (s *Subscription) start(group []Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := group[len(group)-1].PTS
	for i, f := range group {
		if early := newest - time.Duration(len(group)-1-i)*time.Millisecond; early > f.PTS {
			f.PTS = early
		}
		s.append(f)
	}
	s.waiting, s.started = false, true
}

// enqueue adds a frame, and says whether the subscriber needs a keyframe to go on.
func (s *Subscription) enqueue(f Frame) (needsKeyframe bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting && !f.Keyframe {
		if s.started {
			s.lost++
		}
		return false // asked for when the wait began
	}
	s.waiting, s.started = false, true
	s.append(f)
	if len(s.queue) <= maxQueuedFrames && s.bytes <= maxQueuedBytes {
		return false
	}
	return s.skip()
}

// append needs s.mu.
func (s *Subscription) append(f Frame) {
	s.queue = append(s.queue, f)
	s.bytes += len(f.Payload)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// skip drops what the subscriber is too slow for: everything before the newest
// keyframe that waits, or everything at all. It needs s.mu.
func (s *Subscription) skip() (needsKeyframe bool) {
	for i := len(s.queue) - 1; i > 0; i-- {
		if s.queue[i].Keyframe {
			s.keep(s.queue[i:])
			return false
		}
	}
	s.keep(nil)
	s.waiting = true
	return true
}

// keep needs s.mu.
func (s *Subscription) keep(frames []Frame) {
	s.lost += len(s.queue) - len(frames)
	s.queue = append([]Frame(nil), frames...)
	s.bytes = 0
	for _, f := range s.queue {
		s.bytes += len(f.Payload)
	}
}

func (s *Subscription) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.queue = nil
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
