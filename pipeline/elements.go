package pipeline

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/go-gst/go-gst/gst"
)

// ErrMissingElement is wrapped by the error for a GStreamer element that is not
// installed; its text names the Debian package that has it.
var ErrMissingElement = errors.New("GStreamer element is not installed")

// debianPackages says which package has an element that we use.
var debianPackages = map[string]string{
	"alsasrc":       "gstreamer1.0-alsa",
	"nicesrc":       "gstreamer1.0-nice",
	"openh264enc":   "gstreamer1.0-plugins-bad",
	"webrtcbin":     "gstreamer1.0-plugins-bad",
	"dtlssrtpenc":   "gstreamer1.0-plugins-bad",
	"srtpenc":       "gstreamer1.0-plugins-bad",
	"h264parse":     "gstreamer1.0-plugins-bad",
	"x264enc":       "gstreamer1.0-plugins-ugly",
	"pulsesrc":      "gstreamer1.0-plugins-good",
	"v4l2src":       "gstreamer1.0-plugins-good",
	"rtspsrc":       "gstreamer1.0-plugins-good",
	"ximagesrc":     "gstreamer1.0-plugins-good",
	"vp8enc":        "gstreamer1.0-plugins-good",
	"rtpvp8pay":     "gstreamer1.0-plugins-good",
	"rtph264pay":    "gstreamer1.0-plugins-good",
	"rtpopuspay":    "gstreamer1.0-plugins-good",
	"rtpbin":        "gstreamer1.0-plugins-good",
	"capssetter":    "gstreamer1.0-plugins-good",
	"vp9enc":        "gstreamer1.0-plugins-good",
	"rtpvp9pay":     "gstreamer1.0-plugins-good",
	"vp8dec":        "gstreamer1.0-plugins-good",
	"vp9dec":        "gstreamer1.0-plugins-good",
	"avdec_h264":    "gstreamer1.0-libav",
	"opusdec":       "gstreamer1.0-plugins-base",
	"autovideosink": "gstreamer1.0-plugins-good",
	"autoaudiosink": "gstreamer1.0-plugins-good",
	"opusenc":       "gstreamer1.0-plugins-base",
	"videotestsrc":  "gstreamer1.0-plugins-base",
	"audiotestsrc":  "gstreamer1.0-plugins-base",
	"appsrc":        "gstreamer1.0-plugins-base",
	"appsink":       "gstreamer1.0-plugins-base",
	"videoconvert":  "gstreamer1.0-plugins-base",
	"videoscale":    "gstreamer1.0-plugins-base",
	"videorate":     "gstreamer1.0-plugins-base",
	"audioconvert":  "gstreamer1.0-plugins-base",
	"audioresample": "gstreamer1.0-plugins-base",
	"decodebin":     "gstreamer1.0-plugins-base",
}

// webrtcElements is what webrtcbin needs besides itself: it does not say so
// before the first peer.
var webrtcElements = []string{"webrtcbin", "nicesrc", "dtlssrtpenc", "srtpenc", "rtpbin"}

// baseElements is what every pipeline is made of.
var baseElements = []string{"appsrc", "appsink", "videoconvert", "videoscale", "videorate", "audioconvert", "audioresample", "decodebin", "capssetter"}

// requireElements returns an error for the first element that is missing.
func requireElements(names ...string) error {
	for _, name := range names {
		factory := gst.Find(name)
		if factory != nil {
			release(factory.Object)
			continue
		}
		if pkg, known := debianPackages[name]; known {
			return fmt.Errorf("%w: %q is in the Debian package %s: sudo apt install %[3]s", ErrMissingElement, name, pkg)
		}
		return fmt.Errorf("%w: %q", ErrMissingElement, name)
	}
	return nil
}

// release gives back a GObject at once. Left to the garbage collector, which
// sees only its few bytes on the Go side, threads and descriptors would stay.
func release(o *gst.Object) {
	runtime.SetFinalizer(o.Object, nil)
	o.Unref()
}

// releaseMini is release for what is not a GObject: samples, buffers, messages, caps.
func releaseMini[T interface{ Unref() }](o T) {
	runtime.SetFinalizer(o, nil)
	o.Unref()
}

// changeTimeout bounds every change of state: a device that hangs must not hang
// us.
const changeTimeout = 5 * time.Second

// stopTimeout bounds the stop of a pipeline: the whole program has 5 s to end.
const stopTimeout = 2 * time.Second

// errHangs is for what does not change its state in time.
var errHangs = fmt.Errorf("it does not start within %s", changeTimeout)

// hangError is errHangs of a pipeline that is left behind until over is closed.
type hangError struct{ over <-chan struct{} }

func (e hangError) Error() string { return errHangs.Error() }

func (e hangError) Is(target error) bool { return target == errHangs }

// within runs a change of state and says whether it came to its end in time. One
// that did not is left behind with all that it holds, since nothing can end it.
func within(log *slog.Logger, what string, change func()) bool {
	_, inTime := tryWithin(log, what, changeTimeout, change)
	return inTime
}

// tryWithin is within, with a channel that is closed at the end of the change.
func tryWithin(log *slog.Logger, what string, limit time.Duration, change func()) (over <-chan struct{}, inTime bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		change()
	}()
	select {
	case <-done:
		return done, true
	case <-time.After(limit):
		log.Error("left behind: it does not change its state", "what", what, "after", limit)
		return done, false
	}
}

// makeWithin makes what may hang. What is ready only after the limit is given to
// free: nobody waits for it any more.
func makeWithin[T any](log *slog.Logger, what string, limit time.Duration, make func() (T, error), free func(T)) (T, error) {
	var decided atomic.Bool
	var made T
	var err error
	over, inTime := tryWithin(log, what, limit, func() {
		made, err = make()
		if !decided.CompareAndSwap(false, true) && err == nil {
			free(made)
		}
	})
	if !inTime && decided.CompareAndSwap(false, true) {
		var none T
		return none, errHangs
	}
	<-over
	return made, err
}

// startPipeline sets a pipeline playing. One that fails is stopped again, and one
// that hangs as soon as it does not any more: it might hold a device.
func startPipeline(log *slog.Logger, what string, pipeline *gst.Pipeline) error {
	var decided atomic.Bool
	var err error
	over, inTime := tryWithin(log, what, changeTimeout, func() {
		err = pipeline.SetState(gst.StatePlaying)
		if !decided.CompareAndSwap(false, true) {
			_ = pipeline.SetState(gst.StateNull)
			release(pipeline.Object)
		}
	})
	if !inTime && decided.CompareAndSwap(false, true) {
		return hangError{over}
	}
	<-over
	if err == nil {
		return nil
	}
	bus := pipeline.GetPipelineBus()
	if message := busError(bus, 0); message != nil { // it knows better
		err = message
	}
	stopPipeline(log, what, pipeline)
	return err
}

// stopPipeline ends a pipeline, and with it every wait in it. It releases it
// unless it hangs, and says whether it did.
func stopPipeline(log *slog.Logger, what string, pipeline *gst.Pipeline) bool {
	_, inTime := tryWithin(log, what, stopTimeout, func() { _ = pipeline.SetState(gst.StateNull) })
	if inTime {
		release(pipeline.Object)
	}
	return inTime
}
