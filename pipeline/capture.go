package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-gst/go-gst/gst"
	"github.com/go-gst/go-gst/gst/app"
)

// pollInterval bounds how long a blocking call into GStreamer can outlive the
// wish to stop.
const pollInterval = 200 * time.Millisecond

// capture runs one capture pipeline and delivers raw pictures and sound, with
// timestamps on the running time that all peers share. A source that is lost after
// it was there is opened again, and something stands in for it meanwhile.
type capture struct {
	// Static.
	spec     captureSpec
	clock    *gst.Clock
	baseTime gst.ClockTime
	// frame is the duration of a frame whose source does not tell it.
	frame    time.Duration
	limits   sourceLimits
	observer Observer
	log      *slog.Logger
	outlets  map[Kind]*outlet
	started  map[Kind]*flag

	// Owned by run.
	restarts int // at the end of a file
	retry    backoff.ExponentialBackOff
	standby  standIns

	mu    sync.Mutex
	state SourceState
}

// flag is raised once.
type flag struct {
	once sync.Once
	up   chan struct{}
}

func newFlag() *flag { return &flag{up: make(chan struct{})} }

func (f *flag) raise() { f.once.Do(func() { close(f.up) }) }

func (f *flag) isUp() bool {
	select {
	case <-f.up:
		return true
	default:
		return false
	}
}

// newCapture is a capture whose media goes to deliver. OnReturn is called when a
// source that was lost is back, before its first picture.
func newCapture(spec captureSpec, deliver func(kind Kind, caps string, buffer *gst.Buffer), onReturn func(Kind)) *capture {
	c := &capture{spec: spec, started: make(map[Kind]*flag), outlets: make(map[Kind]*outlet)}
	c.state = SourceState{Name: spec.name, Kinds: spec.kinds}
	for _, kind := range spec.kinds {
		c.started[kind] = newFlag()
		c.outlets[kind] = &outlet{kind: kind, deliver: deliver, onSource: func() {
			if kind == spec.kinds[0] {
				c.found()
			}
			onReturn(kind)
		}}
	}
	return c
}

// explain makes an error of GStreamer's one line that says what to do.
func (c *capture) explain(err error) error {
	if c.spec.hint == "" {
		return fmt.Errorf("%s: %w", c.spec.name, err)
	}
	return fmt.Errorf("%s: %w; %s", c.spec.name, err, c.spec.hint)
}

// check finds what is missing before anything starts.
func (c *capture) check() error {
	if err := requireElements(c.spec.needs...); err != nil {
		return c.explain(err)
	}
	if c.spec.needs != nil && c.spec.needs[0] == "ximagesrc" && os.Getenv("DISPLAY") == "" {
		return c.explain(errors.New("DISPLAY is not set"))
	}
	return nil
}

// play opens the source and captures until it ends or fails, which is an error,
// or ctx ends. One that loops ends only if it cannot go back to its beginning.
func (c *capture) play(ctx context.Context) error {
	launch := c.spec.launch
	if c.restarts > 0 && c.spec.optional != "" && !c.started[c.spec.optional].isUp() {
		launch = c.spec.alone // a branch that nothing ever reaches would keep it from going back
	}
	pipeline, err := gst.NewPipelineFromString(launch)
	if err != nil {
		return err
	}
	bus := pipeline.GetPipelineBus()
	defer release(bus.Object)
	pipeline.ForceClock(c.clock)

	playing, cancel := context.WithCancelCause(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel(nil)
	if err := startPipeline(c.log, c.spec.name, pipeline); err != nil {
		return err
	}
	defer c.stop(pipeline)
	workers.Go(func() { watchBus(playing, bus, cancel) })
	for {
		err := c.playOnce(playing, pipeline)
		if err == nil && c.spec.loop && c.rewind(pipeline) {
			continue
		}
		if err == nil {
			err = errEnded
		}
		if !c.loops(err) {
			c.lose(ctx, err) // before the pipeline is stopped, which may take long
		}
		return err
	}
}

// stop stops the source, so that it can be opened again.
func (c *capture) stop(pipeline *gst.Pipeline) {
	if !stopPipeline(c.log, c.spec.name, pipeline) {
		return
	}
	if err := letGoOfCameras(); err != nil {
		c.log.Warn("a camera that was unplugged may come back under another name", "source", c.spec.name, "error", err)
	}
}

// playOnce delivers until the end of the stream, which is that of the picture
// where there is one.
func (c *capture) playOnce(ctx context.Context, pipeline *gst.Pipeline) error {
	playing, end := context.WithCancel(ctx)
	var pullers sync.WaitGroup
	defer pullers.Wait()
	defer end()
	ended := make(chan struct{}, len(c.spec.kinds))
	c.outlets[c.spec.kinds[0]].open()
	for _, kind := range c.spec.kinds {
		element, err := pipeline.GetElementByName(string(kind))
		if err != nil {
			continue // it is the one that is not there
		}
		pullers.Go(func() {
			defer release(element.Object)
			if c.pull(playing, kind, pipeline, app.SinkFromElement(element)) && kind == c.spec.kinds[0] {
				ended <- struct{}{}
			}
		})
	}
	look := time.NewTicker(pollInterval)
	defer look.Stop()
	for {
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
			if err := c.stalled(); err != nil {
				return err
			}
		}
	}
}

// rewind goes back to the beginning without a gap: at the end of the stream
// nothing flows that could meet the new base time too early.
func (c *capture) rewind(pipeline *gst.Pipeline) bool {
	pipeline.SetStartTime(gst.ClockTimeNone)
	pipeline.SetBaseTime(c.clock.GetTime())
	return pipeline.SeekTime(0, gst.SeekFlagFlush)
}

// pull delivers what arrives at a sink; it returns true at the end of stream.
func (c *capture) pull(ctx context.Context, kind Kind, pipeline *gst.Pipeline, sink *app.Sink) bool {
	for ctx.Err() == nil {
		sample := sink.TryPullSample(gst.ClockTime(pollInterval))
		if sample == nil {
			if sink.IsEOS() {
				return true
			}
			continue
		}
		c.handOver(kind, pipeline, sample)
		if !c.started[kind].isUp() {
			c.begun(kind)
		}
	}
	return false
}

// begun notes the first of a kind that was ever delivered.
func (c *capture) begun(kind Kind) {
	if kind == c.spec.kinds[0] {
		c.found()
	}
	c.started[kind].raise()
}

// handOver moves a sample from the pipeline's running time, which starts anew
// whenever the source does, to the one that all peers share.
func (c *capture) handOver(kind Kind, pipeline *gst.Pipeline, sample *gst.Sample) {
	running, ok := runningTime(sample)
	if !ok {
		releaseMini(sample)
		return
	}
	caps := sample.GetCaps()
	text := caps.String()
	releaseMini(caps)
	buffer := sample.GetBuffer()
	runtime.SetFinalizer(buffer, nil)
	releaseMini(sample) // before the next line, which copies what is shared
	buffer = buffer.MakeWritable()
	defer buffer.Unref()
	buffer.SetPresentationTimestamp(pipeline.GetBaseTime() + running - c.baseTime)
	if kind == Video && buffer.Duration() == gst.ClockTimeNone {
		buffer.SetDuration(gst.ClockTime(c.frame))
	}
	c.observer.CapturedFrame(kind)
	c.outlets[kind].fromSource(text, buffer)
}

// now is the running time that all peers share.
func (c *capture) now() time.Duration { return time.Duration(c.clock.GetTime() - c.baseTime) }

// watchBus ends a pipeline's run at its first error.
func watchBus(ctx context.Context, bus *gst.Bus, fail context.CancelCauseFunc) {
	for ctx.Err() == nil {
		if err := busError(bus, pollInterval); err != nil {
			fail(err)
			return
		}
	}
}

// busError waits for an error on the bus; it returns nil if none comes.
func busError(bus *gst.Bus, wait time.Duration) error {
	message := bus.TimedPopFiltered(gst.ClockTime(wait), gst.MessageError)
	if message == nil {
		return nil
	}
	defer releaseMini(message)
	return describe(message.ParseError())
}

// describe makes one line of GStreamer's error. What it was in detail stands in
// the last line of its debug text, behind where it was.
func describe(e *gst.GError) error {
	text := strings.TrimSuffix(e.Error(), ".")
	lines := strings.Split(strings.TrimSpace(e.DebugString()), "\n")
	if detail := strings.TrimSuffix(lines[len(lines)-1], "."); len(lines) > 1 && detail != text {
		text += ": " + detail
	}
	return errors.New(text)
}
