package pipeline

import (
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/go-gst/go-gst/gst"
)

// outlet is the way of one kind of media from a capture to the encoders. The
// media is that of the source or, while that is lost, what stands in for it: the
// timestamps of both are on the running time that all peers share, and go on
// where those of the other ended.
type outlet struct {
	// Static.
	kind    Kind
	deliver func(kind Kind, caps string, buffer *gst.Buffer)
	// onSource is called when the source takes its place again, before its first
	// buffer.
	onSource func()

	mu      sync.Mutex
	caps    string        // of the newest buffer; empty before the first
	end     time.Duration // where that buffer ends
	floor   time.Duration // buffers before it come too late
	lost    bool          // something stands in for the source
	frames  uint64        // of the source
	arrived time.Time     // when the newest of these did, or the source was opened anew
	waiting bool          // for the first one since then
}

// fromSource delivers a buffer of the source, which ends what stands in for it.
func (o *outlet) fromSource(caps string, buffer *gst.Buffer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frames++
	o.arrived, o.waiting = time.Now(), false
	if o.lost {
		o.lost, o.floor = false, o.end
		o.onSource()
	}
	o.pass(caps, buffer)
}

// standIn delivers a buffer that stands in for those of the source. It returns
// false once that is back.
func (o *outlet) standIn(buffer *gst.Buffer) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost {
		o.pass(o.caps, buffer)
	}
	return o.lost
}

// pass needs o.mu.
func (o *outlet) pass(caps string, buffer *gst.Buffer) {
	pts := time.Duration(buffer.PresentationTimestamp())
	if pts < o.floor {
		return
	}
	o.floor = 0 // the timestamps of one producer are its own affair
	o.caps = caps
	o.end = pts + 1
	if d := buffer.Duration(); o.kind == Audio && d != gst.ClockTimeNone {
		o.end = pts + time.Duration(d)
	}
	o.deliver(o.kind, caps, buffer)
}

// lose lets something stand in for the source. It returns false when there was
// never any media of this kind.
func (o *outlet) lose() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lost = o.caps != ""
	o.floor = o.end
	return o.lost
}

// open notes that the source was opened.
func (o *outlet) open() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.arrived, o.waiting = time.Now(), true
}

// silence is for how long nothing came of the source, and whether anything did
// since it was opened.
func (o *outlet) silence() (d time.Duration, waiting bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Since(o.arrived), o.waiting
}

func (o *outlet) captured() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.frames
}

// format is that of the newest picture.
func (o *outlet) format() pictureFormat {
	o.mu.Lock()
	defer o.mu.Unlock()
	return parsePictureFormat(o.caps)
}

// pictureFormat is what raw caps say of a picture.
type pictureFormat struct {
	width, height int
	// interval is from one picture to the next, 0 where the source does not say.
	interval time.Duration
}

var (
	capsSize = regexp.MustCompile(`width=\(int\)(\d+), height=\(int\)(\d+)`)
	capsRate = regexp.MustCompile(`[^-]framerate=\(fraction\)(\d+)/(\d+)`)
)

func parsePictureFormat(caps string) pictureFormat {
	var f pictureFormat
	if m := capsSize.FindStringSubmatch(caps); m != nil {
		f.width, _ = strconv.Atoi(m[1])
		f.height, _ = strconv.Atoi(m[2])
	}
	if m := capsRate.FindStringSubmatch(caps); m != nil {
		frames, _ := strconv.Atoi(m[1])
		seconds, _ := strconv.Atoi(m[2])
		if frames > 0 {
			f.interval = time.Second * time.Duration(seconds) / time.Duration(frames)
		}
	}
	return f
}
