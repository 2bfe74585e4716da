package pipeline

import "context"

// taker is a receiver that does something with all tracks of a remote for as long
// as these are the same, and begins anew when they change.
type taker struct {
	changes chan []*Track // holds the newest
	end     context.CancelFunc
	done    chan struct{}
}

// newTaker runs do with each set of tracks in turn, until ctx ends, which is when
// the tracks change or the remote is gone. The end is called when all is over.
func newTaker(do func(ctx context.Context, tracks []*Track), end func()) *taker {
	ctx, cancel := context.WithCancel(context.Background())
	t := &taker{changes: make(chan []*Track, 1), end: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		defer end()
		t.loop(ctx, do)
	}()
	return t
}

func (t *taker) loop(ctx context.Context, do func(context.Context, []*Track)) {
	stop := func() {}
	defer func() { stop() }()
	for {
		select {
		case tracks := <-t.changes:
			stop()
			stop = begin(ctx, tracks, do)
		case <-ctx.Done():
			return
		}
	}
}

// begin runs do beside the caller, until stop is called, which waits for it.
func begin(ctx context.Context, tracks []*Track, do func(context.Context, []*Track)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if len(tracks) > 0 {
			do(ctx, tracks)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (t *taker) take(tracks []*Track) {
	select {
	case <-t.changes:
	default:
	}
	t.changes <- tracks
}

func (t *taker) close() {
	t.end()
	<-t.done
}
