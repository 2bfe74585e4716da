package pipeline

import (
	"context"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-gst/go-gst/gst"
)

const (
	// repeatInterval is how often something is logged again that goes on.
	repeatInterval = time.Minute
	// maxWaitingEntries bounds what GStreamer may say while the log is busy.
	maxWaitingEntries = 256
)

// expected are functions of GStreamer that warn in the life of every peer, of
// what is as it should be here.
var expected = map[string]bool{
	"try_match_transceiver_with_fec_decoder": true, // there is none
	"on_sctp_association_state_changed":      true, // the remote has gone
	"handle_association_changed":             true,
	"gst_pad_peer_query":                     true, // of a source that is not linked yet
	"gst_app_src_push_internal":              true, // an encoder that is busy loses the oldest picture
	"gst_vpx_enc_set_format":                 true, // an option that this libvpx does not know
	"convert_taps_gint16_c":                  true, // rounding
}

// entry is what GStreamer says.
type entry struct {
	level slog.Level
	place place
	// object says of itself what it is.
	object, text string
}

// place is where in GStreamer an entry comes from.
type place struct {
	category, function string
	line               int
}

// LogGStreamer brings GStreamer's own warnings and errors into a log, until ctx
// ends. What comes again and again is logged once a minute, with its count. With
// GST_DEBUG in the environment GStreamer writes all that this asks for to standard
// error instead. It may run once at a time.
func LogGStreamer(ctx context.Context, log *slog.Logger) {
	if os.Getenv("GST_DEBUG") != "" {
		return
	}
	initialize()
	entries := make(chan entry, maxWaitingEntries)
	var missed atomic.Int64
	gst.SetLogFunction(func(c *gst.DebugCategory, level gst.DebugLevel, _, function string, line int, _ *gst.LoggedObject, m *gst.DebugMessage) {
		if level > gst.LevelWarning {
			return
		}
		e := entry{level: severity(level, function), place: place{c.GetName(), function, line}, object: m.GetId(), text: m.Get()}
		select {
		case entries <- e:
		default:
			missed.Add(1)
		}
	})
	defer gst.SetLogFunction(nil)
	letThrough(gst.LevelWarning)
	defer letThrough(gst.LevelNone)
	r := repeats{log: log, seen: make(map[place]*repeat)}
	tick := time.NewTicker(repeatInterval / 12)
	defer tick.Stop()
	for {
		select {
		case e := <-entries:
			r.take(e, time.Now())
		case now := <-tick.C:
			r.tick(now)
			if n := missed.Swap(0); n > 0 {
				log.Warn("gstreamer says more than can be logged", "missed", n)
			}
		case <-ctx.Done():
			return
		}
	}
}

func severity(level gst.DebugLevel, function string) slog.Level {
	switch {
	case expected[function]:
		return slog.LevelDebug
	case level == gst.LevelError:
		return slog.LevelError
	}
	return slog.LevelWarn
}

// repeats logs what comes for the first time, and counts the rest.
type repeats struct {
	log  *slog.Logger
	seen map[place]*repeat
}

type repeat struct {
	newest entry
	logged time.Time
	count  int // since then
}

func (r *repeats) take(e entry, now time.Time) {
	if known := r.seen[e.place]; known != nil {
		known.newest = e
		known.count++
		return
	}
	r.seen[e.place] = &repeat{logged: now}
	r.write(e)
}

// tick logs what has gone on for long enough, and forgets what has not.
func (r *repeats) tick(now time.Time) {
	for place, known := range r.seen {
		switch {
		case now.Sub(known.logged) < repeatInterval:
		case known.count == 0:
			delete(r.seen, place)
		default:
			r.write(known.newest, "times", known.count)
			known.count, known.logged = 0, now
		}
	}
}

func (r *repeats) write(e entry, more ...any) {
	attributes := append([]any{"category", e.place.category, "function", e.place.function, "object", e.object, "text", e.text}, more...)
	r.log.Log(context.Background(), e.level, "gstreamer", attributes...)
}
