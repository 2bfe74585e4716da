package pipeline

import (
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-gst/go-gst/gst"
	"github.com/go-gst/go-gst/gst/app"
	"github.com/pion/rtp"
)

// screen decodes a track that a remote receives: what a viewer sees.
type screen struct {
	t        *testing.T
	pipeline *gst.Pipeline
	src      *app.Source
	quit     chan struct{}
	showing  sync.WaitGroup

	mu     sync.Mutex
	frames int
	newest shown
}

// shown is one decoded picture.
type shown struct {
	width, height int
	luma          int // mean
	brightest     byte
}

func (s shown) String() string {
	return fmt.Sprintf("%d×%d of luma %d, %d at most", s.width, s.height, s.luma, s.brightest)
}

// watch decodes the track from its next keyframe on, until the test ends.
func (got *receivedTrack) watch(t *testing.T) *screen {
	t.Helper()
	codec := map[string]*Codec{"video/VP8": VP8, "video/VP9": VP9, "video/H264": H264}[got.codec.MimeType]
	pipeline, err := gst.NewPipelineFromString(fmt.Sprintf("appsrc name=in format=time is-live=true do-timestamp=true caps=\"application/x-rtp,media=video,encoding-name=%s,clock-rate=90000,payload=%d\""+
		" ! %s ! %s ! videoconvert ! video/x-raw,format=GRAY8 ! appsink name=out sync=false async=false", codec.EncodingName, got.codec.PayloadType, codec.depay, codec.decode))
	if err != nil {
		t.Fatal(err)
	}
	in, err := pipeline.GetElementByName("in")
	if err != nil {
		t.Fatal(err)
	}
	out, err := pipeline.GetElementByName("out")
	if err != nil {
		t.Fatal(err)
	}
	if err := startPipeline(testLog(t), "screen", pipeline); err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, pipeline: pipeline, src: app.SrcFromElement(in), quit: make(chan struct{})}
	s.showing.Go(func() { s.show(app.SinkFromElement(out)) })
	got.mu.Lock()
	got.onPacket = s.take
	got.mu.Unlock()
	t.Cleanup(func() {
		got.mu.Lock()
		got.onPacket = nil
		got.mu.Unlock()
		close(s.quit)
		s.showing.Wait()
		release(in.Object)
		release(out.Object)
		stopPipeline(testLog(t), "screen", pipeline)
	})
	return s
}

func (s *screen) take(packet *rtp.Packet) {
	raw, err := packet.Marshal()
	if err != nil {
		s.t.Error(err)
		return
	}
	buffer := gst.NewBufferFromBytes(raw)
	s.src.PushBuffer(buffer)
	releaseMini(buffer)
}

var shownSize = regexp.MustCompile(`width=\(int\)(\d+), height=\(int\)(\d+)`)

func (s *screen) show(sink *app.Sink) {
	for {
		select {
		case <-s.quit:
			return
		default:
		}
		sample := sink.TryPullSample(gst.ClockTime(pollInterval))
		if sample == nil {
			continue
		}
		caps, buffer := sample.GetCaps(), sample.GetBuffer()
		size := shownSize.FindStringSubmatch(caps.String())
		var now shown
		now.width, _ = strconv.Atoi(size[1])
		now.height, _ = strconv.Atoi(size[2])
		sum := 0
		for _, luma := range buffer.Bytes()[:now.width*now.height] {
			sum += int(luma)
			now.brightest = max(now.brightest, luma)
		}
		now.luma = sum / (now.width * now.height)
		releaseMini(buffer)
		releaseMini(caps)
		releaseMini(sample)
		s.mu.Lock()
		s.frames++
		s.newest = now
		s.mu.Unlock()
	}
}

func (s *screen) now() (shown, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest, s.frames
}

// await waits until the picture is so, on ten new frames at least.
func (s *screen) await(what string, so func(shown) bool) {
	s.t.Helper()
	_, before := s.now()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		picture, frames := s.now()
		if frames >= before+10 && so(picture) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d frames and %s after 30 s, want %s", frames-before, picture, what)
		}
	}
}
