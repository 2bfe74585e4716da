package record

import (
	"slices"
	"time"
)

const (
	// startWait is how long the first file waits for tracks that were negotiated,
	// in time or in media.
	startWait = 2 * time.Second
	// cutWait is how long a track that began may wait for another one's keyframe.
	cutWait = 5 * time.Second
	// idle is how long a track may deliver nothing before nothing waits for it.
	idle = 2 * time.Second
	// askInterval is the time between two requests for a keyframe of one track.
	askInterval = 2 * time.Second
	// keepInterval is how often the time is looked at while frames come.
	keepInterval = 250 * time.Millisecond
	// youngFile is how old a file gets before other parameters of H.264 end it:
	// a sender that changes them in every keyframe does not make a file of each.
	youngFile = 2 * time.Second
)

// What may wait in memory before a file is there, whatever else.
const (
	maxHeldFrames = 2000
	maxHeldBytes  = 16 << 20
)

// heldFrames are those of tracks that no file holds yet, in the order of arrival.
type heldFrames struct {
	frames []arrival
	bytes  int
}

func (h *heldFrames) add(a arrival) {
	h.frames = append(h.frames, a)
	h.bytes += len(a.payload)
}

func (h *heldFrames) empty() bool { return len(h.frames) == 0 }

func (h *heldFrames) full() bool {
	return len(h.frames) >= maxHeldFrames || h.bytes >= maxHeldBytes
}

// waited tells whether the oldest frame waits for longer than that, in time or,
// by the latest frame's, in media.
func (h *heldFrames) waited(limit time.Duration, now time.Time, latest time.Duration) bool {
	return !h.empty() && (now.Sub(h.frames[0].now) >= limit || latest-h.frames[0].at >= limit)
}

// accept records a frame, in the file that is current or in a new one.
func (r *Recorder) accept(a arrival) error {
	waits := a.track.file == nil
	if waits {
		r.held.add(a)
	}
	if r.cutsAt(a) {
		if err := r.cut(a.at, a.now); err != nil {
			return err
		}
	}
	if waits {
		return nil // it is in the new file, or waits for it
	}
	if err := r.advance(a); err != nil {
		return err
	}
	if a.track.waits && !a.keyframe {
		r.drop(a.track, errNoKeyframe)
		return nil
	}
	a.track.waits = false
	return a.track.file.write(a)
}

// current is the file that tracks move to; nil before the first one.
func (r *Recorder) current() *file {
	if len(r.files) == 0 {
		return nil
	}
	return r.files[len(r.files)-1]
}

// cutsAt tells whether a new file begins at this frame.
func (r *Recorder) cutsAt(a arrival) bool {
	if r.mustCut(a.now) {
		return true
	}
	if r.current() == nil {
		return r.complete()
	}
	if a.keyframe && a.track.outdated(r.current()) && r.current().age(a.at) >= youngFile {
		return true
	}
	if !r.cutDue() {
		return false
	}
	lead := r.lead(a.now)
	return lead == nil || lead == a.track && a.keyframe
}

// mustCut tells whether frames have waited for long enough.
func (r *Recorder) mustCut(now time.Time) bool {
	limit := startWait
	if r.current() != nil {
		limit = cutWait
	}
	return r.held.full() || r.held.waited(limit, now, r.timeline.latest.at)
}

// complete tells whether every track has begun.
func (r *Recorder) complete() bool {
	return !slices.ContainsFunc(r.tracks, func(t *track) bool { return !t.begun && !t.removed })
}

// cutDue tells whether a new file is to begin as soon as that does no harm.
func (r *Recorder) cutDue() bool {
	if r.current() == nil {
		return false
	}
	return !r.held.empty() || r.config.Split > 0 && r.current().age(r.timeline.latest.at) >= r.config.Split
}

// lead is the video whose keyframes a file may begin at: the first one that
// delivers. It is nil for sound alone, and as long as every video pauses.
func (r *Recorder) lead(now time.Time) *track {
	for _, t := range r.tracks {
		if t.Codec.video() && t.file == r.current() && t.delivers(now) {
			return t
		}
	}
	return nil
}

// cut begins a new file. Tracks that waited for it are in it from their first
// frame; the others move to it by advance, so that what belongs to the old file
// goes on to it.
func (r *Recorder) cut(at time.Duration, now time.Time) error {
	start, wall := at, now
	if !r.held.empty() {
		wall = r.held.frames[0].now
	}
	for _, a := range r.held.frames {
		start = min(start, a.at)
	}
	f, err := r.openFile(start, wall)
	if err != nil {
		return err
	}
	f.cut = at
	r.files = append(r.files, f)
	for _, a := range r.held.frames {
		if !a.track.removed {
			a.track.file = f
		}
		if err := f.write(a); err != nil {
			return err
		}
	}
	r.held = heldFrames{}
	r.forgetRemoved()
	return r.closeLeft()
}

// advance moves a track to the current file: a video at a keyframe, sound at the
// time of the cut.
func (r *Recorder) advance(a arrival) error {
	t, current := a.track, r.current()
	if t.file == current {
		return nil
	}
	if t.Codec.video() && !a.keyframe || !t.Codec.video() && a.at < current.cut {
		return nil
	}
	t.file = current
	return r.closeLeft()
}

// closeLeft closes the files that all tracks have left.
func (r *Recorder) closeLeft() error {
	for i := 0; i < len(r.files)-1; {
		f := r.files[i]
		if slices.ContainsFunc(r.tracks, func(t *track) bool { return t.file == f }) {
			i++
			continue
		}
		r.files = slices.Delete(r.files, i, i+1)
		if err := f.close(); err != nil {
			return err
		}
	}
	return nil
}

// forgetRemoved forgets tracks that have ended once their frames are written.
func (r *Recorder) forgetRemoved() {
	r.tracks = slices.DeleteFunc(r.tracks, func(t *track) bool {
		return t.removed && !slices.ContainsFunc(r.held.frames, func(a arrival) bool { return a.track == t })
	})
}

func (r *Recorder) keepSometimes(now time.Time) error {
	if now.Sub(r.kept) < keepInterval && !now.Before(r.kept) {
		return nil
	}
	return r.keep(now)
}

// keep does what time alone brings about. Its error ends the recording.
func (r *Recorder) keep(now time.Time) error {
	r.kept = now
	if err := r.keepFiles(now); err != nil {
		return r.fail(err)
	}
	return nil
}

func (r *Recorder) keepFiles(now time.Time) error {
	if r.mustCut(now) {
		if err := r.cut(r.timeline.latest.at, now); err != nil {
			return err
		}
	}
	for _, t := range r.tracks {
		if t.file != nil && t.file != r.current() && !t.delivers(now) {
			r.move(t, now)
		}
	}
	if err := r.closeLeft(); err != nil {
		return err
	}
	for _, f := range r.files {
		if err := f.muxer.flush(now); err != nil {
			return err
		}
	}
	return nil
}

// move takes a track that pauses to the current file. A video has nothing there
// that a decoder could start with: a sender whose picture stands still makes that
// when it is asked.
func (r *Recorder) move(t *track, now time.Time) {
	t.file = r.current()
	if t.Codec.video() {
		t.waits = true
		r.ask(t, now)
	}
}

func (r *Recorder) askForKeyframes(now time.Time) {
	due := r.cutDue()
	for _, t := range r.tracks {
		if t.Codec.video() && t.delivers(now) && (due || r.needsKeyframe(t)) {
			r.ask(t, now)
		}
	}
}

func (r *Recorder) ask(t *track, now time.Time) {
	if now.Sub(t.asked) >= askInterval {
		t.asked = now
		r.config.RequestKeyframe(t.ID)
	}
}

// needsKeyframe tells whether a video waits for one to begin, in the call or in its
// file, to move to the current file, or to have a file with its own parameters.
func (r *Recorder) needsKeyframe(t *track) bool {
	if !t.begun || t.waits {
		return true
	}
	if t.file == nil {
		return false
	}
	current := r.current()
	return t.file != current || t.outdated(current) && current.age(r.timeline.latest.at) >= youngFile
}
