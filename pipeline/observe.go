package pipeline

import (
	"slices"
	"time"
)

// Observer hears of each frame, and of what becomes of peers, to count and to
// measure. Its methods are called on the threads that carry media: they may not
// block, nor call the Pipeline.
type Observer interface {
	// CapturedFrame is called for each picture and each piece of sound that a
	// source delivers, whether it is encoded or not.
	CapturedFrame(kind Kind)
	// EncodedFrame is called for each encoded frame. The encoder is named by its
	// GStreamer element. It took the time in it from when it got the last raw
	// media of that frame, waiting for its turn included; 0 if that is unknown.
	EncodedFrame(codec *Codec, encoder string, inEncoder time.Duration, keyframe bool, bytes int)
	// Connected is called when a connection to a remote has come about, with the
	// time from its begin.
	Connected(after time.Duration)
	// FirstFrame is called for the first frame of each stream that is sent, or
	// received by anybody, with the time from when the stream was first spoken of.
	FirstFrame(kind Kind, sent bool, after time.Duration)
	// Ended is called for each connection that has come to its end, or never came
	// about, with one of the errors of this package; nil when it was removed.
	Ended(reason error)
}

// unobserved is the Observer of those who have none.
type unobserved struct{}

func (unobserved) CapturedFrame(Kind)                                    {}
func (unobserved) EncodedFrame(*Codec, string, time.Duration, bool, int) {}
func (unobserved) Connected(time.Duration)                               {}
func (unobserved) FirstFrame(Kind, bool, time.Duration)                  {}
func (unobserved) Ended(error)                                           {}

// maxTimed is how many raw buffers may be on their way through an encoder and
// still be timed: two seconds of a picture, more than any live encoder holds.
const maxTimed = 64

// stopwatch measures how long media takes through an encoder. It is not safe for
// concurrent use.
type stopwatch struct {
	inside []timed // in the order of their timestamps, maxTimed at most
}

type timed struct {
	pts time.Duration
	at  time.Time
}

// start notes that raw media goes into the encoder.
func (s *stopwatch) start(pts time.Duration, now time.Time) {
	if len(s.inside) == maxTimed {
		s.inside = slices.Delete(s.inside, 0, 1)
	}
	s.inside = append(s.inside, timed{pts, now})
}

// stop takes the time of a frame that has come out. That of the raw media counts
// which the end of the frame was made of: a frame of sound may span several, or
// be a part of one.
func (s *stopwatch) stop(f Frame, kind Kind, now time.Time) time.Duration {
	last := f.PTS
	if kind == Audio {
		last += max(f.Duration-1, 0)
	}
	after := slices.IndexFunc(s.inside, func(t timed) bool { return t.pts > last })
	if after < 0 {
		after = len(s.inside)
	}
	if after == 0 {
		return 0
	}
	s.inside = slices.Delete(s.inside, 0, after-1)
	return now.Sub(s.inside[0].at)
}
