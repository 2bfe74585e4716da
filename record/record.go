// Package record writes what one remote peer sends in one call into files, as
// it was encoded: Matroska, or fragmented MP4.
//
// A file holds the tracks that have delivered by the time it starts. When
// another track begins later, or a split is due, or H.264 comes with other
// parameters, a new file begins at a keyframe of the video; no frame is lost at
// such a cut. A video that pauses meanwhile is asked for a keyframe, and has what it
// delivers before that left out. Whatever ends the program, what came up to a second
// before is in the file and plays.
//
// A Recorder has no goroutine and no lock: one goroutine owns it.
package record

import (
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// What bounds a Recorder.
const (
	// maxFrame is more bytes than any encoder makes of one picture in a call.
	maxFrame = 16 << 20
	// maxTracks is what one remote peer may send at a time.
	maxTracks = 64
	// minSplit keeps a mistaken unit from making thousands of files.
	minSplit = time.Second
)

// Codec is how a track is encoded.
type Codec string

// The codecs that can be recorded.
const (
	VP8  Codec = "vp8"
	VP9  Codec = "vp9"
	H264 Codec = "h264" // Annex B, one access unit in a frame
	Opus Codec = "opus" // 48 kHz, up to two channels, one packet in a frame
)

func (c Codec) video() bool { return c != Opus }

// Format is the kind of the files.
type Format string

// The formats. VP8 has no place in MP4.
const (
	Matroska Format = "mkv"
	MP4      Format = "mp4"
)

// Track is one stream of a call.
type Track struct {
	// ID is the owner's name for it, unique in a Recorder while the track is there.
	ID    int
	Codec Codec
}

// Frame is one whole encoded frame. Whether it is a keyframe is read in its own
// header, since a remote peer's word for it is not good enough.
type Frame struct {
	// Track is the ID of its track.
	Track int
	// PTS is when it is to be shown, on a clock that all tracks share and that
	// starts anywhere. A track's frames come in the order of their decoding, which
	// in WebRTC is that of their PTS: one that is a little less than that of the
	// frame before is raised; a jump that the arrival does not explain is undone.
	PTS time.Duration
	// Payload may be kept: nobody may write to it afterwards.
	Payload []byte
}

// Config is what a Recorder needs to know.
type Config struct {
	// Directory is where the files go. It is made if it is missing.
	Directory string
	// Room and UID name the files, with the time at which each begins:
	// lab-cam1-20261125T101530.mkv. They may be any text; whatever of them is
	// not safe in a file name is replaced.
	Room, UID string
	// Format is Matroska if empty.
	Format Format
	// Split is how long a file may get before the next one is to begin, at least
	// a second; 0 for one file.
	Split time.Duration
	// Tracks are those that were negotiated: the first file waits for all of them,
	// two seconds at most.
	Tracks []Track
	// RequestKeyframe asks the sender of a track for a keyframe; nil if nobody can.
	// It is called from within the Recorder's methods, which it must not call, and
	// for one track at most every two seconds.
	RequestKeyframe func(track int)
	// Now is the wall clock, time.Now if nil.
	Now func() time.Time
	// Logger gets each file's beginning and end, and what was dropped; nil for none.
	Logger *slog.Logger
}

// Recorder writes the frames of one call. It is for one goroutine only.
type Recorder struct {
	// Static.
	config Config
	create func(path string) (storage, error)

	tracks   []*track // in the order in which they came
	timeline timeline
	held     heldFrames // of tracks that no file holds yet
	files    []*file    // that are open; the current one is the last
	kept     time.Time  // when keep was called last
	err      error      // why it is over
}

// Open checks the configuration and that files can be made in the directory. No
// file is there before the first frame. It returns ErrConfig, ErrCodec or
// ErrDirectory.
func Open(config Config) (*Recorder, error) {
	if config.Format == "" {
		config.Format = Matroska
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.RequestKeyframe == nil {
		config.RequestKeyframe = func(int) {}
	}
	if config.Format != Matroska && config.Format != MP4 {
		return nil, fmt.Errorf("%w: format %q: want mkv or mp4", ErrConfig, config.Format)
	}
	if config.Split < 0 || config.Split > 0 && config.Split < minSplit {
		return nil, fmt.Errorf("%w: a split every %v: want %v or more, or 0 for one file", ErrConfig, config.Split, minSplit)
	}
	r := &Recorder{config: config, create: createFile}
	for _, t := range config.Tracks {
		if err := r.AddTrack(t); err != nil {
			return nil, err
		}
	}
	if err := CheckDirectory(config.Directory); err != nil {
		return nil, err
	}
	return r, nil
}

// AddTrack says that another track was negotiated during the call. The Recorder
// goes on if it refuses the track, with ErrConfig or ErrCodec.
func (r *Recorder) AddTrack(t Track) error {
	parser := newParser(t.Codec)
	switch {
	case parser == nil:
		return fmt.Errorf("%w: codec %q of track %d: want vp8, vp9, h264 or opus", ErrCodec, t.Codec, t.ID)
	case r.config.Format == MP4 && t.Codec == VP8:
		return fmt.Errorf("%w: VP8 has no place in MP4: record to mkv, or agree on h264 or vp9", ErrCodec)
	case r.track(t.ID) != nil:
		return fmt.Errorf("%w: track %d is there already: give each track an ID of its own", ErrConfig, t.ID)
	case len(r.tracks) >= maxTracks:
		return fmt.Errorf("%w: one more than %d tracks at a time: remove those that have ended", ErrConfig, maxTracks)
	}
	r.tracks = append(r.tracks, &track{Track: t, parser: parser})
	return nil
}

// RemoveTrack says that a track has ended: nothing waits for it any more, and the
// files that begin from now on do without it. Its frames so far are kept.
func (r *Recorder) RemoveTrack(id int) {
	t := r.track(id)
	if t == nil {
		return
	}
	t.removed = true
	t.file = nil
	r.forgetRemoved()
}

// Write adds a frame. One that no decoder could use is dropped, and so is what
// comes of a video before its first keyframe. An error that is ErrTrack says that
// there is no such track; after any other one the Recorder is over, and returns
// the same error ever after: what was written so far plays.
func (r *Recorder) Write(f Frame) error {
	if r.err != nil {
		return r.err
	}
	t := r.track(f.Track)
	if t == nil {
		return fmt.Errorf("%w: %d: add it first", ErrTrack, f.Track)
	}
	now := r.config.Now()
	if err := r.keepSometimes(now); err != nil {
		return err
	}
	if err := r.record(t, f, now); err != nil {
		return r.fail(err)
	}
	r.askForKeyframes(now)
	return nil
}

func (r *Recorder) record(t *track, f Frame, now time.Time) error {
	a, err := t.read(f.Payload)
	if err == nil || err == errNoKeyframe {
		t.arrived = now // garbage is no sign of life
	}
	if err != nil {
		r.drop(t, err)
		return nil
	}
	a.at, a.now = r.timeline.place(&t.position, f.PTS, now), now
	return r.accept(a)
}

// Tick does what is due when no frame comes: it starts a file that has waited
// long enough for tracks that do not deliver, and writes what a fragment of MP4
// holds back. The owner calls it about once a second. Its errors are Write's.
func (r *Recorder) Tick() error {
	if r.err != nil {
		return r.err
	}
	now := r.config.Now()
	if err := r.keep(now); err != nil {
		return err
	}
	r.askForKeyframes(now)
	return nil
}

// Close ends the files. It returns what Write returned if the recording ended
// with an error, and may be called twice.
func (r *Recorder) Close() error {
	if r.err == ErrClosed {
		return nil
	}
	if r.err != nil {
		return r.err
	}
	if !r.held.empty() {
		if err := r.cut(r.timeline.latest.at, r.config.Now()); err != nil {
			return r.fail(err)
		}
	}
	files := r.files
	for i, f := range files {
		r.files = files[i+1:]
		if err := f.close(); err != nil {
			return r.fail(err)
		}
	}
	r.logDropped()
	r.err = ErrClosed
	return nil
}

// fail ends the recording: what is in the files is made playable as far as it
// goes, the error is for good.
func (r *Recorder) fail(err error) error {
	r.err = err
	for _, f := range r.files {
		_ = f.close() // the first error is the one that tells
	}
	r.files, r.held = nil, heldFrames{}
	r.logDropped()
	return err
}

func (r *Recorder) track(id int) *track {
	i := slices.IndexFunc(r.tracks, func(t *track) bool { return t.ID == id && !t.removed })
	if i < 0 {
		return nil
	}
	return r.tracks[i]
}

func (r *Recorder) drop(t *track, why error) {
	if t.dropped == 0 {
		r.config.Logger.Info("dropping frames that cannot be recorded", "track", t.ID, "codec", t.Codec, "first", why)
	}
	t.dropped++
}

func (r *Recorder) logDropped() {
	for _, t := range r.tracks {
		if t.dropped > 0 {
			r.config.Logger.Info("frames were not recorded", "track", t.ID, "codec", t.Codec, "frames", t.dropped)
		}
	}
}
