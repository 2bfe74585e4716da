package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// block is a frame as a file takes it.
type block struct {
	number   int           // of the track in the file, from 0
	at       time.Duration // since the file's start, later than the track's last one
	now      time.Time     // when it came
	keyframe bool
	duration time.Duration // 0 if it is not known
	payload  []byte        // as it came
}

// muxer puts blocks into one file of a format.
type muxer interface {
	// write adds a block. Blocks come in the order of arrival.
	write(b block) error
	// flush writes blocks that wait since a second ago.
	flush(now time.Time) error
	// finish writes all that waits and what is known at the end only. It does what
	// it can after an error too.
	finish() error
}

// streamHead is what the head of a file says of one track.
type streamHead struct {
	codec   Codec
	picture picture
}

// file is one file of the recording.
type file struct {
	// Static.
	output   *output
	muxer    muxer
	start    time.Duration // of the file, on the timeline
	cut      time.Duration // from where on sound belongs to it
	numbers  map[*track]int
	pictures map[*track]picture // that its head has
	closed   func(f *file)

	ends   []time.Duration // where the next block of each track may be
	frames int
}

// openFile makes a file that holds every track that has begun.
func (r *Recorder) openFile(start time.Duration, wall time.Time) (*file, error) {
	f := &file{
		start:    start,
		numbers:  make(map[*track]int),
		pictures: make(map[*track]picture),
		closed:   r.logClosed,
	}
	var heads []streamHead
	for _, t := range r.tracks {
		if !t.begun {
			continue
		}
		f.numbers[t], f.pictures[t] = len(heads), t.picture
		heads = append(heads, streamHead{t.Codec, t.picture})
	}
	f.ends = make([]time.Duration, len(heads))
	storage, path, err := createNew(r.create, r.config.Directory, fileName(r.config.Room, r.config.UID, wall), string(r.config.Format))
	if err != nil {
		return nil, err
	}
	f.output = &output{storage: storage, path: path}
	if r.config.Format == MP4 {
		f.muxer, err = newMP4(f.output, heads)
	} else {
		f.muxer, err = newMatroska(f.output, heads, wall)
	}
	if err != nil {
		_ = f.close() // removes it
		return nil, err
	}
	r.config.Logger.Info("recording", "file", path, "tracks", len(heads))
	return f, nil
}

func (r *Recorder) logClosed(f *file) {
	r.config.Logger.Info("recorded", "file", f.output.path, "frames", f.frames, "bytes", f.output.size)
}

// age is how long the file is at a time of the timeline.
func (f *file) age(at time.Duration) time.Duration { return at - f.start }

func (f *file) write(a arrival) error {
	number := f.numbers[a.track]
	at := max(a.at-f.start, f.ends[number])
	f.ends[number] = at + step
	f.frames++
	return f.muxer.write(block{
		number: number, at: at, now: a.now,
		keyframe: a.keyframe, duration: a.duration, payload: a.payload,
	})
}

// close ends the file, and removes it if nothing is in it.
func (f *file) close() error {
	var err error
	if f.muxer != nil {
		err = f.muxer.finish()
	}
	if closeErr := f.output.close(); err == nil {
		err = closeErr
	}
	if !f.output.hasMedia {
		if removeErr := os.Remove(f.output.path); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) && err == nil {
			err = fmt.Errorf("%w: remove a file without media: %w", ErrWrite, removeErr)
		}
		return err
	}
	f.closed(f)
	return err
}
