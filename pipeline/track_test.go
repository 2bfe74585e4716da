package pipeline

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeEncoder counts what a Track asks of it.
type fakeEncoder struct {
	demands   []bool
	keyframes atomic.Int32 // a timer of the Track's asks too
}

func (e *fakeEncoder) setDemand(wanted bool) { e.demands = append(e.demands, wanted) }
func (e *fakeEncoder) forceKeyframe()        { e.keyframes.Add(1) }

// stream publishes frames as a source would: a picture each 1/25 s.
type stream struct {
	track *Track
	n     int
}

const frameTime = time.Second / 25

func (s *stream) publish(keyframe bool) {
	s.track.publish(Frame{Payload: []byte{byte(s.n)}, PTS: time.Duration(s.n) * frameTime, Keyframe: keyframe})
	s.n++
}

func (s *stream) publishDeltas(n int) {
	for range n {
		time.Sleep(frameTime)
		s.publish(false)
	}
}

// take gives the numbers of all frames that wait.
func take(t *testing.T, s *Subscription) (numbers []int) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		f, err := s.Next(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return numbers
		}
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, int(f.Payload[0]))
	}
}

func checkFrames(t *testing.T, got []int, first, last int) {
	t.Helper()
	if len(got) != last-first+1 || got[0] != first || got[len(got)-1] != last {
		t.Errorf("got frames %v, want %d to %d", got, first, last)
	}
}

func newTestTrack() (*stream, *fakeEncoder) {
	e := &fakeEncoder{}
	return &stream{track: newTrack(VP8, e)}, e
}

func TestTrackStartsAtKeyframe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, encoder := newTestTrack()
		s := source.track.Subscribe()
		defer s.Close()
		if encoder.keyframes.Load() != 1 || len(encoder.demands) != 1 || !encoder.demands[0] {
			t.Errorf("the first subscriber led to %+v, want a demand and a keyframe", encoder)
		}
		source.publishDeltas(3)
		source.publish(true)
		source.publishDeltas(2)
		checkFrames(t, take(t, s), 3, 5)
	})
}

func TestTrackGivesYoungGroupToNewSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, encoder := newTestTrack()
		first := source.track.Subscribe()
		defer first.Close()
		source.publish(true)
		source.publishDeltas(20)
		asked := encoder.keyframes.Load()
		second := source.track.Subscribe()
		defer second.Close()
		if encoder.keyframes.Load() != asked {
			t.Errorf("a keyframe was asked for although the last one is 0.8 s old")
		}
		f, err := second.Next(t.Context())
		if err != nil || !f.Keyframe || f.PTS != 20*frameTime-20*time.Millisecond {
			t.Errorf("got %+v, %v, want the keyframe, moved to 20 ms before the newest frame", f, err)
		}
		source.publishDeltas(1)
		checkFrames(t, take(t, second), 1, 21)
		checkFrames(t, take(t, first), 0, 21)

		source.publishDeltas(10) // the group is old now
		third := source.track.Subscribe()
		defer third.Close()
		if encoder.keyframes.Load() != asked+1 {
			t.Errorf("%d keyframes were asked for, want one for the third subscriber", encoder.keyframes.Load()-asked)
		}
		if early := take(t, third); early != nil {
			t.Errorf("got frames %v of a group that is over", early)
		}
		source.publish(true)
		checkFrames(t, take(t, third), 32, 32)
	})
}

func TestTrackLimitsKeyframes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, encoder := newTestTrack()
		defer source.track.close()
		s := source.track.Subscribe()
		defer s.Close()
		source.publish(true)
		encoder.keyframes.Store(0)
		for range 30 { // in three seconds, by receivers on a bad network
			source.track.RequestKeyframe()
			made := encoder.keyframes.Load()
			time.Sleep(100 * time.Millisecond)
			if encoder.keyframes.Load() > made {
				source.publish(true)
			}
		}
		if encoder.keyframes.Load() < 2 || encoder.keyframes.Load() > 3 {
			t.Errorf("30 requests in 3 s led to %d keyframes, want 2 or 3", encoder.keyframes.Load())
		}
	})
}

func TestTrackRemembersRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, encoder := newTestTrack()
		defer source.track.close()
		s := source.track.Subscribe()
		defer s.Close()
		source.publish(true)
		encoder.keyframes.Store(0)
		source.track.RequestKeyframe()
		if time.Sleep(keyframeInterval / 2); encoder.keyframes.Load() != 0 {
			t.Error("a keyframe was asked for half a second after the last one")
		}
		if time.Sleep(keyframeInterval); encoder.keyframes.Load() != 1 {
			t.Errorf("%d keyframes were asked for, want the one that was remembered", encoder.keyframes.Load())
		}
	})
}

func TestTrackSkipsWholeGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, encoder := newTestTrack()
		defer source.track.close()
		slow, fast := source.track.Subscribe(), source.track.Subscribe()
		defer slow.Close()
		defer fast.Close()
		source.publish(true)
		checkFrames(t, take(t, fast), 0, 0)
		encoder.keyframes.Store(0)
		source.publishDeltas(maxQueuedFrames)
		if encoder.keyframes.Load() != 1 {
			t.Errorf("%d keyframes were asked for, want one for the subscriber that lags", encoder.keyframes.Load())
		}
		checkFrames(t, take(t, fast), 1, maxQueuedFrames)
		source.publishDeltas(1)
		source.publish(true)
		source.publishDeltas(1)
		checkFrames(t, take(t, slow), maxQueuedFrames+2, maxQueuedFrames+3)
		if slow.Lost() != maxQueuedFrames+2 || fast.Lost() != 0 {
			t.Errorf("%d and %d frames are said to be lost, want %d and none", slow.Lost(), fast.Lost(), maxQueuedFrames+2)
		}
		checkFrames(t, take(t, fast), maxQueuedFrames+1, maxQueuedFrames+3)
	})
}

func TestTrackKeepsNewestGroupThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, _ := newTestTrack()
		defer source.track.close()
		slow := source.track.Subscribe()
		defer slow.Close()
		source.publish(true)
		source.publishDeltas(maxQueuedFrames - 10)
		source.publish(true)
		source.publishDeltas(20)
		checkFrames(t, take(t, slow), maxQueuedFrames-9, maxQueuedFrames+11)
	})
}

func TestTrackEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, encoder := newTestTrack()
		s, other := source.track.Subscribe(), source.track.Subscribe()
		ended := make(chan error)
		go func() {
			_, err := s.Next(context.Background())
			ended <- err
		}()
		synctest.Wait()
		s.Close()
		s.Close()
		if err := <-ended; !errors.Is(err, ErrTrackClosed) {
			t.Errorf("Next of a closed subscription: %v, want ErrTrackClosed", err)
		}
		if len(encoder.demands) != 1 {
			t.Errorf("demands %v, want the encoder to go on for the other subscriber", encoder.demands)
		}
		other.Close()
		if n := len(encoder.demands); n != 2 || encoder.demands[1] {
			t.Errorf("demands %v, want the encoder to rest after the last subscriber", encoder.demands)
		}
		source.track.close()
		source.track.close()
		if _, err := source.track.Subscribe().Next(t.Context()); !errors.Is(err, ErrTrackClosed) {
			t.Errorf("Next of a subscription to a closed track: %v, want ErrTrackClosed", err)
		}
	})
}
