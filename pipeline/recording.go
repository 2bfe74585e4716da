package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/gstpeer/gstpeer/record"
)

// Recording says where what remotes send is written. The zero value is nowhere.
type Recording struct {
	Directory string
	// Room is the first part of the files' names.
	Room   string
	Format record.Format
	// Split begins a new file after that time; 0 does not.
	Split time.Duration
}

// tickInterval is how often a recording does what is due when nothing comes.
const tickInterval = time.Second

// recording writes what one remote sends in one call. A disk that is slow or
// full ends it at the worst: the call goes on.
type recording struct {
	// Static.
	config Recording
	uid    string
	log    *slog.Logger

	// Owned by who runs write, one at a time.
	recorder *record.Recorder // nil before the first track
	failed   bool
	tracks   map[*Track]int // their IDs
	last     int
}

// arrival is a frame of one of several tracks.
type arrival struct {
	track *Track
	frame Frame
}

func newRecording(config Recording, uid string, log *slog.Logger) *recording {
	return &recording{config: config, uid: uid, log: log, tracks: make(map[*Track]int)}
}

// write records tracks until ctx ends.
func (r *recording) write(ctx context.Context, tracks []*Track) {
	if !r.open(tracks) {
		return
	}
	frames, stop := merge(ctx, tracks)
	defer stop()
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	for !r.failed {
		select {
		case a := <-frames:
			r.note(r.recorder.Write(record.Frame{Track: r.tracks[a.track], PTS: a.frame.PTS, Payload: a.frame.Payload}))
		case <-tick.C:
			r.note(r.recorder.Tick())
		case <-ctx.Done():
			return
		}
	}
}

// open tells the recorder about the tracks. It returns false when there is
// nothing to record.
func (r *recording) open(tracks []*Track) bool {
	if r.failed {
		return false
	}
	var added []record.Track
	still := make(map[*Track]int)
	for _, track := range tracks {
		id, known := r.tracks[track]
		if !known {
			r.last++
			id = r.last
			added = append(added, record.Track{ID: id, Codec: record.Codec(track.Codec.Name)})
		}
		still[track] = id
	}
	before := r.tracks
	r.tracks = still
	if r.recorder == nil && !r.start() {
		return false
	}
	for track, id := range before {
		if _, on := still[track]; !on {
			r.recorder.RemoveTrack(id)
		}
	}
	for _, track := range added {
		if err := r.recorder.AddTrack(track); err != nil {
			r.log.Error("not recorded", "codec", track.Codec, "error", err)
		}
	}
	return true
}

// start opens the recorder without a track, since it would open with none at all
// if there is one among them that the format has no place for.
func (r *recording) start() bool {
	recorder, err := record.Open(record.Config{
		Directory: r.config.Directory, Room: r.config.Room, UID: r.uid, Format: r.config.Format, Split: r.config.Split,
		RequestKeyframe: r.requestKeyframe, Logger: r.log,
	})
	r.recorder = recorder
	r.note(err)
	return err == nil
}

func (r *recording) requestKeyframe(id int) {
	for track, its := range r.tracks {
		if its == id {
			track.RequestKeyframe()
		}
	}
}

// note ends the recording with its first error.
func (r *recording) note(err error) {
	if err == nil || r.failed || errors.Is(err, record.ErrTrack) { // that track was refused before
		return
	}
	r.failed = true
	r.log.Error("recording ended, the call goes on", "error", err)
}

// close finishes the files.
func (r *recording) close() {
	if r.recorder == nil {
		return
	}
	r.note(r.recorder.Close())
}

// merge brings the frames of several tracks together in the order in which they
// came, until stop is called.
func merge(ctx context.Context, tracks []*Track) (frames <-chan arrival, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	merged := make(chan arrival)
	var group sync.WaitGroup
	for _, track := range tracks {
		s := track.Subscribe()
		group.Go(func() {
			defer s.Close()
			for {
				frame, err := s.Next(ctx)
				if err != nil {
					return
				}
				select {
				case merged <- arrival{track, frame}:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return merged, func() {
		cancel()
		group.Wait()
	}
}
