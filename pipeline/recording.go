package pipeline

import (
	"context"
	"log/slog"
	"slices"
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

const (
	// tickInterval is how often a recording does what is due when nothing comes.
	tickInterval = time.Second
	// lossInterval is the least time between two words on a disk that is too slow.
	lossInterval = time.Minute
)

// recording is a receiver that writes what one remote sends in one call. A disk
// that is slow or full ends it at the worst: the call goes on.
type recording struct {
	taker // for take and close: what it runs is its own

	// Static.
	config   Recording
	uid      string
	log      *slog.Logger
	arrivals chan arrival // not buffered, so that none is there of a track that is gone

	// Owned by run.
	recorder *record.Recorder // nil before the first track
	failed   bool
	tracks   map[*Track]recordedTrack
	last     int
	lost     int       // frames that it was too slow for, on tracks that are gone
	lostSaid int       // how many of all of them were logged
	lostAt   time.Time // when
}

// recordedTrack is how the recorder knows a track.
type recordedTrack struct {
	id     int
	frames *Subscription // nil of a track that the recorder refused
	stop   func()        // ends the reading, and waits for that
}

// arrival is a frame of one of several tracks.
type arrival struct {
	id    int
	frame Frame
}

func newRecording(config Recording, uid string, log *slog.Logger) *recording {
	ctx, cancel := context.WithCancel(context.Background())
	r := &recording{
		taker:  taker{changes: make(chan []*Track, 1), end: cancel, done: make(chan struct{})},
		config: config, uid: uid, log: log, arrivals: make(chan arrival), tracks: make(map[*Track]recordedTrack),
	}
	go func() {
		defer close(r.done)
		defer r.finish()
		r.run(ctx)
	}()
	return r
}

// run is the recording's goroutine.
func (r *recording) run(ctx context.Context) {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	for !r.failed {
		select {
		case tracks := <-r.changes:
			r.follow(ctx, tracks)
		case a := <-r.arrivals:
			r.note(r.recorder.Write(record.Frame{Track: a.id, PTS: a.frame.PTS, Payload: a.frame.Payload}))
		case <-tick.C:
			r.tick()
		case <-ctx.Done():
			return
		}
	}
}

// follow records these tracks from now on. One that goes on keeps its
// subscription: a new one would bring frames again, or wait for a keyframe.
func (r *recording) follow(ctx context.Context, tracks []*Track) {
	for track, its := range r.tracks {
		if !slices.Contains(tracks, track) {
			its.stop()
			r.lost += its.lost()
			r.recorder.RemoveTrack(its.id)
			delete(r.tracks, track)
		}
	}
	if r.recorder == nil && (len(tracks) == 0 || !r.start()) {
		return
	}
	for _, track := range tracks {
		if _, known := r.tracks[track]; !known {
			r.add(ctx, track)
		}
	}
}

// add begins to record a track. One that the recorder refuses is left out.
func (r *recording) add(ctx context.Context, track *Track) {
	r.last++
	its := recordedTrack{id: r.last, stop: func() {}}
	if err := r.recorder.AddTrack(record.Track{ID: its.id, Codec: record.Codec(track.Codec.Name)}); err != nil {
		r.log.Error("not recorded", "codec", track.Codec, "error", err)
	} else {
		its.frames = track.Subscribe()
		its.stop = r.read(ctx, its.frames, its.id)
	}
	r.tracks[track] = its
}

// lost is how many frames of the track were left out.
func (t recordedTrack) lost() int {
	if t.frames == nil {
		return 0
	}
	return t.frames.Lost()
}

// read brings the frames of a track to run, until stop is called.
func (r *recording) read(ctx context.Context, frames *Subscription, id int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer frames.Close()
		for {
			frame, err := frames.Next(ctx)
			if err != nil {
				return
			}
			select {
			case r.arrivals <- arrival{id, frame}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
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
		if its.id == id {
			track.RequestKeyframe()
		}
	}
}

func (r *recording) tick() {
	if r.recorder != nil {
		r.note(r.recorder.Tick())
	}
	if time.Since(r.lostAt) >= lossInterval {
		r.tellLost()
	}
}

// tellLost says what the files lack because writing them took too long.
func (r *recording) tellLost() {
	lost := r.lost
	for _, its := range r.tracks {
		lost += its.lost()
	}
	if lost > r.lostSaid {
		r.log.Warn("recording lacks frames: the disk or this machine is too slow", "frames", lost-r.lostSaid)
		r.lostSaid, r.lostAt = lost, time.Now()
	}
}

// note ends the recording with its first error.
func (r *recording) note(err error) {
	if err == nil || r.failed {
		return
	}
	r.failed = true
	r.log.Error("recording ended, the call goes on", "error", err)
}

// finish ends the reading and the files.
func (r *recording) finish() {
	for _, its := range r.tracks {
		its.stop()
	}
	if !r.failed {
		r.tellLost()
	}
	if r.recorder != nil {
		r.note(r.recorder.Close())
	}
}
