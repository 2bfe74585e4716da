package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-gst/go-gst/gst"
	"github.com/go-gst/go-gst/gst/app"
)

// encoderLinger is how long an encoder goes on after its last subscriber left:
// a page that is loaded again finds it running.
const encoderLinger = 5 * time.Second

// An encoder is stuck that gives nothing for stuckAfter although it got so many
// raw buffers since: more than any holds back in live use.
const (
	stuckAfter   = 5 * time.Second
	stuckBuffers = 10
)

// liveEncoder encodes what the source captures into one Track, and runs only
// while the Track has subscribers. It has a pipeline of its own, so that no
// codec's trouble reaches the source or another codec.
type liveEncoder struct {
	// Static.
	codec    *Codec
	track    *Track
	observer Observer
	log      *slog.Logger

	demand chan bool // holds the newest wish
	failed *flag     // it will not run again

	// Owned by run.
	wanted     bool
	candidates []encoderPipeline // the first of them runs; those that failed are gone
	announced  string            // the one that the log names

	mu    sync.Mutex
	caps  string       // of the raw media; empty before the first
	src   *app.Source  // nil while the encoder rests
	sink  *gst.Element // likewise
	watch stopwatch
	// unanswered is how many buffers it got since it gave a frame, asked when it
	// got the first of them.
	unanswered int
	asked      time.Time
}

func newLiveEncoder(codec *Codec, candidates []encoderPipeline, observer Observer, log *slog.Logger) *liveEncoder {
	e := &liveEncoder{codec: codec, candidates: candidates, observer: observer, log: log.With("codec", codec.Name), demand: make(chan bool, 1), failed: newFlag()}
	e.track = newTrack(codec, e)
	return e
}

func (e *liveEncoder) setDemand(wanted bool) {
	select {
	case <-e.demand:
	default:
	}
	e.demand <- wanted
}

func (e *liveEncoder) forceKeyframe() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sink != nil {
		forceKeyframe(e.sink)
	}
}

// encode takes a raw buffer. An encoder that is too slow loses the oldest one;
// nobody waits.
func (e *liveEncoder) encode(caps string, buffer *gst.Buffer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := e.caps != caps
	e.caps = caps
	if e.src == nil {
		return
	}
	if changed {
		setCaps(e.src, caps)
	}
	now := time.Now()
	if e.unanswered == 0 {
		e.asked = now
	}
	e.unanswered++
	e.watch.start(time.Duration(buffer.PresentationTimestamp()), now)
	e.src.PushBuffer(buffer)
}

func setCaps(src *app.Source, text string) {
	caps := gst.NewCapsFromString(text)
	src.SetCaps(caps)
	releaseMini(caps)
}

// run starts and stops the encoder as it is wanted, until ctx ends. When one
// fails, the next one goes on; that the last one fails is an error.
func (e *liveEncoder) run(ctx context.Context) error {
	for {
		for !e.wanted {
			select {
			case <-ctx.Done():
				return nil
			case e.wanted = <-e.demand:
			}
		}
		err := e.encodeOnDemand(ctx, e.candidates[0])
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && len(e.candidates) == 1:
			return fmt.Errorf("%s encoder %s: %w", e.codec.Name, e.candidates[0].name, err)
		case err != nil:
			e.log.Warn("encoder fails, the next one goes on", "encoder", e.candidates[0].name, "error", err, "next", e.candidates[1].name)
			e.candidates = e.candidates[1:]
		}
	}
}

// announce says which encoder runs, once.
func (e *liveEncoder) announce(name string) {
	level := slog.LevelDebug
	if e.announced != name {
		level = slog.LevelInfo
	}
	e.announced = name
	e.log.Log(context.Background(), level, "encoder runs", "encoder", name)
}

// encodeOnDemand runs an encoder's pipeline until nobody wants it any more.
func (e *liveEncoder) encodeOnDemand(ctx context.Context, with encoderPipeline) error {
	pipeline, err := gst.NewPipelineFromString(with.text)
	if err != nil {
		return err
	}
	bus := pipeline.GetPipelineBus()
	defer release(bus.Object)
	out, err := pipeline.GetElementByName("out")
	if err != nil {
		return err
	}
	defer release(out.Object)

	ctx, cancel := context.WithCancelCause(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel(nil)
	if err := startPipeline(e.log, e.codec.Name+" encoder", pipeline); err != nil {
		return err
	}
	defer stopPipeline(e.log, e.codec.Name+" encoder", pipeline)
	if err := e.attach(pipeline, out); err != nil {
		return err
	}
	defer e.detach()
	workers.Go(func() { watchBus(ctx, bus, cancel) })
	workers.Go(func() { e.pull(ctx, with.name, app.SinkFromElement(out)) })
	e.announce(with.name)
	defer e.log.Debug("encoder rests")
	return e.untilUnwanted(ctx)
}

// untilUnwanted returns when there was no demand for encoderLinger.
func (e *liveEncoder) untilUnwanted(ctx context.Context) error {
	var unwanted <-chan time.Time
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return causeUnlessCanceled(ctx)
		case e.wanted = <-e.demand:
			unwanted = nil
			if !e.wanted {
				unwanted = time.After(encoderLinger)
			}
		case <-unwanted:
			return nil
		case <-look.C:
			if len(e.candidates) > 1 && e.isStuck() {
				return fmt.Errorf("it gives nothing for %s", stuckAfter)
			}
		}
	}
}

func (e *liveEncoder) isStuck() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unanswered >= stuckBuffers && time.Since(e.asked) >= stuckAfter
}

// attach opens the pipeline for raw media.
func (e *liveEncoder) attach(pipeline *gst.Pipeline, out *gst.Element) error {
	in, err := pipeline.GetElementByName("in")
	if err != nil {
		return err
	}
	e.track.reset()
	src := app.SrcFromElement(in)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.caps != "" {
		setCaps(src, e.caps)
	}
	e.src, e.sink, e.watch, e.unanswered = src, out, stopwatch{}, 0
	return nil
}

func (e *liveEncoder) detach() {
	e.mu.Lock()
	defer e.mu.Unlock()
	release(e.src.Object)
	e.src, e.sink = nil, nil
}

// pull publishes frame after frame.
func (e *liveEncoder) pull(ctx context.Context, name string, sink *app.Sink) {
	for ctx.Err() == nil {
		sample := sink.TryPullSample(gst.ClockTime(pollInterval))
		if sample == nil {
			continue
		}
		if frame, ok := frameOf(sample); ok {
			e.track.publish(frame)
			e.observer.EncodedFrame(e.codec, name, e.timed(frame), frame.Keyframe, len(frame.Payload))
		}
		releaseMini(sample)
	}
}

// timed is how long a frame took through the encoder.
func (e *liveEncoder) timed(frame Frame) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unanswered = 0
	return e.watch.stop(frame, e.codec.Kind, time.Now())
}

// frameOf copies a sample to a Frame. Timestamps of encoders have an origin of
// their own (x264enc's is at 1,000 hours), which their segment tells.
func frameOf(sample *gst.Sample) (Frame, bool) {
	running, ok := runningTime(sample)
	if !ok {
		return Frame{}, false
	}
	buffer := sample.GetBuffer()
	defer releaseMini(buffer)
	f := Frame{
		Payload:  buffer.Bytes(),
		PTS:      time.Duration(running),
		Keyframe: !buffer.HasFlags(gst.BufferFlagDeltaUnit),
	}
	if d := buffer.Duration(); d != gst.ClockTimeNone {
		f.Duration = time.Duration(d)
	}
	return f, len(f.Payload) > 0
}

// runningTime is when the sample is due, on the running time of its pipeline.
func runningTime(sample *gst.Sample) (gst.ClockTime, bool) {
	buffer := sample.GetBuffer()
	defer releaseMini(buffer)
	t := gst.ClockTime(sample.GetSegment().ToRunningTime(gst.FormatTime, uint64(buffer.PresentationTimestamp())))
	return t, t != gst.ClockTimeNone
}

func causeUnlessCanceled(ctx context.Context) error {
	if err := context.Cause(ctx); err != context.Canceled {
		return err
	}
	return nil
}
