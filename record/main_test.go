package record_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gstpeer/gstpeer/record"
)

func TestMain(m *testing.M) {
	if directory := os.Getenv(asLimited); directory != "" {
		os.Exit(recordLimited(directory))
	}
	if directory := os.Getenv(asEndless); directory != "" {
		fmt.Fprintln(os.Stderr, recordNoise(directory, 1<<62))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// frame is one that a real encoder made.
type frame struct {
	pts      time.Duration
	keyframe bool
	payload  []byte
}

// streams are those that were encoded so far, by their description.
var streams sync.Map

// encode has GStreamer make a stream. Every test that asks for the same one gets
// it, and may not write to it.
func encode(t testing.TB, launch string) []frame {
	t.Helper()
	once, _ := streams.LoadOrStore(launch, sync.OnceValues(func() ([]frame, error) {
		// GStreamer's own data protocol keeps buffers apart, with their timestamps.
		command := exec.Command("gst-launch-1.0", append([]string{"-q"}, strings.Fields(launch+" ! gdppay ! fdsink fd=1")...)...)
		var stderr bytes.Buffer
		command.Stderr = &stderr
		stream, err := command.Output()
		if err != nil {
			return nil, fmt.Errorf("gst-launch-1.0 %s: %w\n%s", launch, err, &stderr)
		}
		frames := unpack(stream)
		for i := len(frames) - 1; i >= 0; i-- { // x264enc begins at 1,000 hours
			frames[i].pts -= frames[0].pts
		}
		return frames, nil
	}))
	frames, err := once.(func() ([]frame, error))()
	if err != nil {
		t.Fatal(err)
	}
	if len(frames) == 0 {
		t.Fatalf("gst-launch-1.0 %s: no frames", launch)
	}
	return frames
}

// unpack reads the GStreamer Data Protocol, version 1.0.
func unpack(stream []byte) []frame {
	const (
		headerSize  = 62
		typeBuffer  = 1
		isHeader    = 1 << 10 // GST_BUFFER_FLAG_HEADER
		isDeltaUnit = 1 << 13 // GST_BUFFER_FLAG_DELTA_UNIT
	)
	var frames []frame
	for len(stream) >= headerSize {
		size := int(binary.BigEndian.Uint32(stream[6:]))
		flags := binary.BigEndian.Uint16(stream[42:])
		pts := binary.BigEndian.Uint64(stream[10:])
		payload := stream[headerSize : headerSize+size]
		if binary.BigEndian.Uint16(stream[4:]) == typeBuffer && pts != 1<<64-1 {
			frames = append(frames, frame{time.Duration(pts), flags&isDeltaUnit == 0, payload})
		}
		stream = stream[headerSize+size:]
	}
	return frames
}

// The streams of the tests: 30 pictures and 50 packets a second.
const fps = 30

// video is a picture that changes, with a keyframe each second.
func video(codec record.Codec, seconds, width, height int) string {
	encoder := map[record.Codec]string{
		record.VP8:  "vp8enc deadline=1 cpu-used=16 keyframe-max-dist=30 lag-in-frames=0 target-bitrate=300000",
		record.VP9:  "vp9enc deadline=1 cpu-used=8 keyframe-max-dist=30 lag-in-frames=0 target-bitrate=300000",
		record.H264: "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=300 ! video/x-h264,profile=constrained-baseline,stream-format=byte-stream,alignment=au",
	}[codec]
	return fmt.Sprintf("videotestsrc num-buffers=%d pattern=ball ! video/x-raw,width=%d,height=%d,framerate=%d/1 ! %s",
		seconds*fps, width, height, fps, encoder)
}

// sound is a tone in packets of 20 ms.
func sound(seconds int) string {
	return fmt.Sprintf("audiotestsrc num-buffers=%d samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=2 ! opusenc frame-size=20", seconds*50)
}

// call is a remote peer whose frames arrive when they are due.
type call struct {
	t        testing.TB
	now      time.Time // of the Recorder's clock
	recorder *record.Recorder
	asked    []int // for keyframes
	dir      string
}

// The clock of a call starts anywhere.
var (
	wallStart = time.Date(2026, 11, 25, 10, 15, 30, 0, time.Local)
	ptsStart  = 7*time.Hour + 3*time.Millisecond
)

func dial(t testing.TB, config record.Config) *call {
	t.Helper()
	c := &call{t: t, now: wallStart, dir: filepath.Join(t.TempDir(), "recordings")}
	if config.Directory == "" {
		config.Directory = c.dir
	}
	if config.Room == "" && config.UID == "" {
		config.Room, config.UID = "lab", "cam1"
	}
	config.Now = func() time.Time { return c.now }
	config.RequestKeyframe = func(track int) { c.asked = append(c.asked, track) }
	r, err := record.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	c.recorder = r
	t.Cleanup(func() { _ = r.Close() })
	return c
}

// media is a frame of a track in the order of arrival.
type media struct {
	track int
	frame
}

// mix puts streams together in the order of their PTS.
func mix(tracks map[int][]frame) []media {
	var all []media
	for id, frames := range tracks {
		for _, f := range frames {
			all = append(all, media{id, f})
		}
	}
	slices.SortStableFunc(all, func(a, b media) int {
		if a.pts != b.pts {
			return int(a.pts - b.pts)
		}
		return a.track - b.track
	})
	return all
}

// shift is a stream that begins later.
func shift(frames []frame, by time.Duration) []frame {
	shifted := slices.Clone(frames)
	for i := range shifted {
		shifted[i].pts += by
	}
	return shifted
}

// between is the part of a stream from one time up to another.
func between(frames []frame, from, to time.Duration) []frame {
	var part []frame
	for _, f := range frames {
		if f.pts >= from && f.pts < to {
			part = append(part, f)
		}
	}
	return part
}

func (c *call) write(m media) {
	c.t.Helper()
	c.now = wallStart.Add(m.pts)
	if err := c.recorder.Write(record.Frame{Track: m.track, PTS: ptsStart + m.pts, Payload: m.payload}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *call) writeAll(all []media) {
	c.t.Helper()
	for _, m := range all {
		c.write(m)
	}
}

func (c *call) hangUp() {
	c.t.Helper()
	if err := c.recorder.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// files are the paths of what was recorded, in the order of their names.
func (c *call) files() []string {
	c.t.Helper()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	var paths []string
	for _, e := range entries {
		paths = append(paths, filepath.Join(c.dir, e.Name()))
	}
	return paths
}

// file is the path of the only one.
func (c *call) file() string {
	c.t.Helper()
	files := c.files()
	if len(files) != 1 {
		c.t.Fatalf("got files %q, want one", files)
	}
	return files[0]
}

// want asserts the names of the files.
func (c *call) want(names ...string) {
	c.t.Helper()
	var got []string
	for _, path := range c.files() {
		got = append(got, filepath.Base(path))
	}
	if !slices.Equal(got, names) {
		c.t.Fatalf("got files %q, want %q", got, names)
	}
}

// symlink puts a link into a directory, to a file that does not exist.
func symlink(t testing.TB, dir, name string) (target string) {
	t.Helper()
	target = filepath.Join(t.TempDir(), "target")
	if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	return target
}

func wantMissing(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s: got %v, want no file", path, err)
	}
}
