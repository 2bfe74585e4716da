package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-gst/go-gst/gst"
)

// playback hands what one remote sends, decoded, to a pipeline: to that of the
// user, or to a window and the loudspeakers. Whatever happens in there, the call
// goes on.
type playback struct {
	// Static.
	sink     Sink
	clock    *gst.Clock
	baseTime gst.ClockTime
	latency  time.Duration // that of the jitter buffers before it
	log      *slog.Logger
}

// Sink is where decoded media of each remote goes. The zero value is none.
type Sink struct {
	// Play shows pictures in a window and plays sound.
	Play bool
	// Launch is a fragment of gst-launch-1.0. In it, "video." and "audio." are
	// where decoded pictures and sound come from; without either it takes the
	// picture. Each remote has a pipeline of its own made from it.
	Launch string
}

// The end of a branch that plays, and of one that nobody wants.
const (
	playVideo = "video. ! videoconvert ! videoscale ! autovideosink"
	playAudio = "audio. ! audioconvert ! audioresample ! autoaudiosink"
	playElse  = " ! fakesink sync=false async=false"
)

// ParseSink reads launch:FRAGMENT, and makes sure that GStreamer can read it.
func ParseSink(text string) (Sink, error) {
	fragment, found := strings.CutPrefix(text, "launch:")
	if !found || strings.TrimSpace(fragment) == "" {
		return Sink{}, fmt.Errorf("%q is not a sink: want launch:FRAGMENT, with video. and audio. where decoded media come from", text)
	}
	initialize()
	s := Sink{Launch: fragment}
	pipeline, err := gst.NewPipelineFromString(s.launch([]*Codec{VP8, Opus}, 0))
	if err != nil {
		return Sink{}, fmt.Errorf("%q: %w; try it with gst-launch-1.0 and test sources named video and audio", text, err)
	}
	release(pipeline.Object)
	return s, nil
}

// check finds out what is missing for it.
func (s Sink) check(codecs []*Codec) error {
	if s.Play {
		if err := requireElements("autovideosink", "autoaudiosink"); err != nil {
			return err
		}
	}
	for _, codec := range codecs {
		if err := requireElements(codec.decoders()...); err != nil {
			return err
		}
	}
	return nil
}

// launch describes the whole pipeline for tracks of these codecs.
func (s Sink) launch(codecs []*Codec, latency time.Duration) string {
	var parts []string
	has := func(kind Kind) bool {
		return slices.ContainsFunc(codecs, func(c *Codec) bool { return c.Kind == kind })
	}
	wants := func(kind Kind) bool { return s.Play && has(kind) || !s.Play && s.takes(kind) }
	for _, kind := range []Kind{Video, Audio} {
		codec := map[Kind]*Codec{Video: VP8, Audio: Opus}[kind] // of a branch that nothing comes on
		if i := slices.IndexFunc(codecs, func(c *Codec) bool { return c.Kind == kind }); i >= 0 {
			codec = codecs[i]
		} else if !wants(kind) {
			continue
		}
		part := fmt.Sprintf("appsrc name=in-%s caps=%q format=time is-live=true block=true max-bytes=%d min-latency=%d ! %s ! queue name=%s max-size-buffers=0 max-size-bytes=0 max-size-time=2000000000 leaky=downstream",
			kind, codec.frameCaps, maxQueuedBytes, latency.Nanoseconds(), codec.decode, kind)
		if !wants(kind) {
			part += playElse
		}
		parts = append(parts, part)
	}
	return strings.Join(append(parts, s.end(has)), "  ")
}

// end is what follows the decoders.
func (s Sink) end(has func(Kind) bool) string {
	if !s.Play {
		if !s.names(Video) && !s.names(Audio) {
			return "video. ! " + s.Launch
		}
		return s.Launch
	}
	var ends []string
	if has(Video) {
		ends = append(ends, playVideo)
	}
	if has(Audio) {
		ends = append(ends, playAudio)
	}
	return strings.Join(ends, "  ")
}

// names says whether the user's fragment says where media of a kind go.
func (s Sink) names(kind Kind) bool {
	return slices.ContainsFunc(strings.Fields(s.Launch), func(word string) bool { return strings.HasPrefix(word, string(kind)+".") })
}

// takes says whether they go anywhere.
func (s Sink) takes(kind Kind) bool {
	return s.names(kind) || kind == Video && !s.names(Audio)
}

// play runs the pipeline until ctx ends.
func (p *playback) play(ctx context.Context, tracks []*Track) {
	err := p.run(ctx, tracks)
	if err != nil && ctx.Err() == nil {
		p.log.Error("playing ended, the call goes on", "error", err)
	}
}

func (p *playback) run(ctx context.Context, tracks []*Track) error {
	tracks = firstOfEachKind(tracks)
	codecs := make([]*Codec, len(tracks))
	for i, track := range tracks {
		codecs[i] = track.Codec
	}
	pipeline, err := gst.NewPipelineFromString(p.sink.launch(codecs, p.latency))
	if err != nil {
		return err
	}
	bus := pipeline.GetPipelineBus()
	defer release(bus.Object)
	pipeline.ForceClock(p.clock)
	pipeline.SetStartTime(gst.ClockTimeNone)
	pipeline.SetBaseTime(p.baseTime)

	ctx, cancel := context.WithCancelCause(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel(nil)
	if err := startPipeline(p.log, "playing", pipeline); err != nil {
		return err
	}
	defer stopPipeline(p.log, "playing", pipeline)
	workers.Go(func() { watchBus(ctx, bus, cancel) })
	for _, track := range tracks {
		in, err := pipeline.GetElementByName("in-" + string(track.Codec.Kind))
		if err != nil {
			return err
		}
		frames := track.Subscribe()
		workers.Go(func() {
			defer release(in.Object)
			push(ctx, frames, feedOf(in), func(Frame) {})
		})
	}
	<-ctx.Done()
	return causeUnlessCanceled(ctx)
}

// firstOfEachKind leaves out further tracks: a fragment names one of each.
func firstOfEachKind(tracks []*Track) []*Track {
	var first []*Track
	for _, track := range tracks {
		if !slices.ContainsFunc(first, func(t *Track) bool { return t.Codec.Kind == track.Codec.Kind }) {
			first = append(first, track)
		}
	}
	return first
}
