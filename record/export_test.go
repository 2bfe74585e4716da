package record

import (
	"io"
	"time"
)

// Storage is what a test puts in the place of a file.
type Storage interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
}

// Intercept has a Recorder write to what wrap makes of its files.
func (r *Recorder) Intercept(wrap func(path string, file Storage) (Storage, error)) {
	r.create = func(path string) (storage, error) {
		file, err := createFile(path)
		if err != nil {
			return nil, err
		}
		return wrap(path, file)
	}
}

// OpenFiles is how many files a Recorder writes to.
func (r *Recorder) OpenFiles() int { return len(r.files) }

// Held is what waits in memory for a file to begin.
func (r *Recorder) Held() (frames, bytes int) { return len(r.held.frames), r.held.bytes }

// Known is how many tracks a Recorder remembers.
func (r *Recorder) Known() int { return len(r.tracks) }

// FileName is a name without extension.
func FileName(room, uid string, start time.Time) string { return fileName(room, uid, start) }

// MaxName is what a name may have in bytes, with suffix and extension.
const MaxName = 143

// Parse has a codec's parser read a frame.
func Parse(codec Codec, payloads ...[]byte) (keyframe bool, width, height int, err error) {
	p := newParser(codec)
	for _, payload := range payloads {
		var u unit
		u, err = p.parse(payload)
		keyframe, width, height = u.keyframe, u.picture.width, u.picture.height
	}
	return keyframe, width, height, err
}

// LengthPrefixed is an access unit as a file has it.
func LengthPrefixed(payload []byte) []byte { return appendLengthPrefixed(nil, payload) }

// Timeline places the frames of two tracks.
type Timeline struct {
	line      timeline
	positions [2]position
}

// Place gives the next frame of a track its time.
func (l *Timeline) Place(track int, pts time.Duration, now time.Time) time.Duration {
	return l.line.place(&l.positions[track], pts, now)
}
