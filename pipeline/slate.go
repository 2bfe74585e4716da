package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"log/slog"
	"time"

	"github.com/go-gst/go-gst/gst"
	"github.com/go-gst/go-gst/gst/app"
)

// How a slate looks: dark, in the video range of BT.601.
const (
	slateLuma   = 32
	slateChroma = 128
)

// slowestSlate bounds how long a new viewer of a slow source waits for its slate.
const slowestSlate = time.Second

// One buffer of silence, in the form that all sound is captured in.
const (
	silenceFrame = 20 * time.Millisecond
	silenceBytes = 48000 / 50 * 2 * 2
)

// showSlate shows a picture with a text in the place of a lost source's, at its
// size and frame rate, until the source is back or ctx ends.
func (c *capture) showSlate(ctx context.Context, o *outlet, text string) {
	format := o.format()
	if format.width == 0 || format.height == 0 {
		return
	}
	interval := min(format.interval, slowestSlate)
	if interval <= 0 {
		interval = c.frame
	}
	picture := slatePicture(ctx, format, text, c.log)
	defer releaseMini(picture)
	c.standIn(ctx, interval, func(now time.Duration) bool {
		return o.standIn(stamped(picture, now, interval))
	})
}

// beSilent is showSlate for sound.
func (c *capture) beSilent(ctx context.Context, o *outlet) {
	silence := gst.NewBufferFromBytes(make([]byte, silenceBytes))
	defer releaseMini(silence)
	next := c.now()
	c.standIn(ctx, silenceFrame, func(now time.Duration) bool {
		if now-next > time.Second {
			next = now - silenceFrame // the machine slept
		}
		lost := true
		for ; lost && next+silenceFrame <= now; next += silenceFrame {
			lost = o.standIn(stamped(silence, next, silenceFrame))
		}
		return lost
	})
}

// standIn calls produce at an interval until it returns false or ctx ends.
func (c *capture) standIn(ctx context.Context, interval time.Duration, produce func(now time.Duration) bool) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for produce(c.now()) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// stamped is a buffer with the memory of another one.
func stamped(of *gst.Buffer, pts, duration time.Duration) *gst.Buffer {
	buffer := of.Copy()
	buffer.SetPresentationTimestamp(gst.ClockTime(pts))
	buffer.SetDuration(gst.ClockTime(duration))
	return buffer
}

// slatePicture draws a slate. It is plain where it cannot be written on.
func slatePicture(ctx context.Context, format pictureFormat, text string, log *slog.Logger) *gst.Buffer {
	picture, err := writeSlate(ctx, format, text, log)
	if err == nil {
		return picture
	}
	log.Debug("the slate is plain", "error", err)
	return gst.NewBufferFromBytes(plainPicture(format.width, format.height))
}

// writeSlate has GStreamer write a text on a dark picture.
func writeSlate(ctx context.Context, format pictureFormat, text string, log *slog.Logger) (*gst.Buffer, error) {
	if err := requireElements("textoverlay"); err != nil {
		return nil, err
	}
	pipeline, err := gst.NewPipelineFromString(fmt.Sprintf("videotestsrc num-buffers=1 pattern=solid-color foreground-color=0xff141414"+
		" ! video/x-raw,format=I420,width=%d,height=%d ! textoverlay halignment=center valignment=center line-alignment=center font-desc=\"Sans 18\" text=%s"+
		" ! appsink name=out async=false sync=false enable-last-sample=false", format.width, format.height, quote(html.EscapeString(text))))
	if err != nil {
		return nil, err
	}
	out, err := pipeline.GetElementByName("out")
	if err != nil {
		return nil, err
	}
	defer release(out.Object)
	if err := startPipeline(log, "slate", pipeline); err != nil {
		return nil, err
	}
	defer stopPipeline(log, "slate", pipeline)
	sink := app.SinkFromElement(out)
	for deadline := time.Now().Add(changeTimeout); ctx.Err() == nil && time.Now().Before(deadline); {
		if sample := sink.TryPullSample(gst.ClockTime(pollInterval)); sample != nil {
			defer releaseMini(sample)
			buffer := sample.GetBuffer()
			defer releaseMini(buffer)
			return buffer.DeepCopy(), nil // its memory would go back to a pool
		}
	}
	return nil, ErrNoMedia
}

// plainPicture is a dark one in I420, as GStreamer lays it out.
func plainPicture(width, height int) []byte {
	roundUp := func(n, to int) int { return (n + to - 1) / to * to }
	rows := roundUp(height, 2)
	luma := roundUp(width, 4) * rows
	chroma := 2 * roundUp(roundUp(width, 2)/2, 4) * rows / 2
	return append(bytes.Repeat([]byte{slateLuma}, luma), bytes.Repeat([]byte{slateChroma}, chroma)...)
}
