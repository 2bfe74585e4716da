package record

import (
	"errors"
	"time"
)

// Why a frame is dropped.
var (
	errEmpty      = errors.New("an empty frame")
	errTooLarge   = errors.New("a frame of more than 16 MiB")
	errGarbage    = errors.New("not a frame of the codec")
	errNoKeyframe = errors.New("no keyframe came before it")
)

// unit is what a frame's own bytes say of it.
type unit struct {
	keyframe bool // of a video: decoding can begin here
	// duration is how long a packet of Opus plays; 0 for a picture.
	duration time.Duration
	// picture is what a keyframe of a video says of those that follow it.
	picture picture
}

// arrival is a frame that is to be recorded.
type arrival struct {
	unit
	track   *track
	payload []byte
	at      time.Duration // on the timeline
	now     time.Time     // when it came
}

// track is one stream of the call.
type track struct {
	// Static.
	Track
	parser parser

	begun    bool    // a decoder could start: it can be in a file
	picture  picture // of the latest keyframe
	position position
	file     *file     // where its frames go; nil while no file holds it
	waits    bool      // for a keyframe, to begin in its file
	arrived  time.Time // when its latest frame came
	asked    time.Time // when a keyframe was asked for
	dropped  int
	removed  bool
}

// read looks at a frame, and says why if it is to be dropped.
func (t *track) read(payload []byte) (arrival, error) {
	switch {
	case len(payload) == 0:
		return arrival{}, errEmpty
	case len(payload) > maxFrame:
		return arrival{}, errTooLarge
	}
	u, err := t.parser.parse(payload)
	if err != nil {
		return arrival{}, err
	}
	if t.Codec.video() && !t.begun && !u.keyframe {
		return arrival{}, errNoKeyframe
	}
	t.begun = true
	if u.keyframe {
		t.picture = u.picture
	}
	return arrival{unit: u, track: t, payload: payload}, nil
}

// delivers tells whether its frames come just now.
func (t *track) delivers(now time.Time) bool {
	return !t.removed && !t.arrived.IsZero() && now.Sub(t.arrived) < idle
}

// outdated tells whether the head of a file describes another stream than the one
// that comes now.
func (t *track) outdated(f *file) bool {
	if t.Codec != H264 || f == nil {
		return false
	}
	head, ok := f.pictures[t]
	return ok && !t.picture.sameParameters(head)
}
