package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-gst/go-gst/gst"
	"github.com/pion/webrtc/v4"
)

// liveSource serves a bright picture over TCP to a fragment, and can be lost in
// every way.
type liveSource struct {
	t        *testing.T
	address  *net.TCPAddr
	fragment string
	stalled  atomic.Bool
	serving  sync.WaitGroup

	mu            sync.Mutex
	listener      net.Listener // nil while it is off
	conns         map[net.Conn]bool
	width, height int
}

const (
	sourceRate   = 15 // frames a second
	brightLuma   = 200
	slateTooDark = 60 // no slate is brighter than that
)

func startLiveSource(t *testing.T) *liveSource {
	t.Helper()
	s := &liveSource{t: t, width: 320, height: 240, conns: make(map[net.Conn]bool)}
	s.on()
	s.fragment = fmt.Sprintf("launch:tcpclientsrc host=127.0.0.1 port=%d", s.address.Port)
	t.Cleanup(func() { s.off(); s.serving.Wait() })
	return s
}

// on lets the source be opened.
func (s *liveSource) on() {
	s.t.Helper()
	address := "127.0.0.1:0"
	if s.address != nil {
		address = s.address.String()
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = listener.Addr().(*net.TCPAddr)
	s.mu.Lock()
	s.listener = listener
	s.mu.Unlock()
	s.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() { s.serve(conn) })
		}
	})
}

// off hangs up on everybody and refuses whoever comes.
func (s *liveSource) off() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		s.listener.Close()
		s.listener = nil
	}
	for conn := range s.conns {
		conn.Close()
	}
}

func (s *liveSource) resize(width, height int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.width, s.height = width, height
}

// serve sends YUV4MPEG2 at the pace of a camera.
func (s *liveSource) serve(conn net.Conn) {
	s.mu.Lock()
	s.conns[conn] = true
	width, height, on := s.width, s.height, s.listener != nil
	s.mu.Unlock()
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	frame := append([]byte("FRAME\n"), bytes.Repeat([]byte{brightLuma}, width*height)...)
	frame = append(frame, bytes.Repeat([]byte{slateChroma}, width*height/2)...)
	if _, err := fmt.Fprintf(conn, "YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C420jpeg\n", width, height, sourceRate); err != nil || !on {
		return
	}
	ticker := time.NewTicker(time.Second / sourceRate)
	defer ticker.Stop()
	for range ticker.C {
		if s.stalled.Load() {
			frame = frame[:0:0] // to notice the end
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				return
			}
		}
		if _, err := conn.Write(frame); err != nil {
			return
		}
	}
}

// bright and dark tell the source from its slate, on which there is a text.
func bright(p shown) bool { return p.luma > brightLuma-30 }

func dark(p shown) bool { return p.luma < slateTooDark && p.brightest > brightLuma }

// openLive opens a pipeline on a source, with one viewer.
func openLive(t *testing.T, source *liveSource, change func(*Config)) (*Pipeline, *receivedTrack, *screen) {
	t.Helper()
	p, board := openTest(t, func(c *Config) {
		c.Video, c.Audio = mustParse(t, ParseVideo, source.fragment), Source{}
		c.Width, c.Height = 0, 0
		c.StartTimeout, c.StallTimeout, c.longestReopening = 5*time.Second, time.Second, 100*time.Millisecond
		if change != nil {
			change(c)
		}
	})
	mime := webrtc.MimeTypeVP8
	if p.config.Codecs[0] == H264 {
		mime = webrtc.MimeTypeH264
	}
	r := newRemote(t, board, p, "viewer", mime)
	t.Cleanup(r.close)
	r.offer(webrtc.RTPCodecTypeVideo)
	track := r.awaitTrack()
	track.awaitFrames(t, 5)
	screen := track.watch(t)
	p.requestKeyframes(Video)
	screen.await("the source", bright)
	return p, track, screen
}

// TestSourceLost: whichever way a source is lost, its viewer sees a slate and
// then the source again, on the same connection, and without a pause.
func TestSourceLost(t *testing.T) {
	for name, test := range map[string]struct {
		lose, restore func(*liveSource)
		codec         *Codec
	}{
		"refuses":    {(*liveSource).off, (*liveSource).on, VP8},
		"stalls":     {func(s *liveSource) { s.stalled.Store(true) }, func(s *liveSource) { s.stalled.Store(false) }, VP8},
		"other size": {(*liveSource).off, func(s *liveSource) { s.resize(176, 144); s.on() }, VP8},
		"larger":     {(*liveSource).off, func(s *liveSource) { s.resize(640, 360); s.on() }, VP8},
		"H264":       {(*liveSource).off, func(s *liveSource) { s.resize(640, 360); s.on() }, H264},
	} {
		t.Run(name, func(t *testing.T) {
			source := startLiveSource(t)
			p, track, screen := openLive(t, source, func(c *Config) { c.Codecs = []*Codec{test.codec} })
			if s := p.SourceStates()[0]; s.Lost || s.Since.IsZero() || s.Err != nil {
				t.Errorf("%+v, want a source that is there", s)
			}
			test.lose(source)
			screen.await("the slate", dark)
			if s := p.SourceStates()[0]; !s.Lost || s.Err == nil || time.Since(s.Since) > time.Minute {
				t.Errorf("%+v, want a lost source", s)
			}
			captured := p.CapturedFrames(Video)
			test.restore(source)
			screen.await("the source", bright)
			picture, _ := screen.now()
			if picture.width != source.width || picture.height != source.height {
				t.Errorf("%s, want %d×%d", picture, source.width, source.height)
			}
			if s := p.SourceStates()[0]; s.Lost || s.Err != nil {
				t.Errorf("%+v, want a source that is there", s)
			}
			if p.CapturedFrames(Video) == captured {
				t.Error("no captured frames are counted")
			}
			track.mu.Lock()
			defer track.mu.Unlock()
			t.Logf("the picture stood still for %s", track.longest)
			if track.gaps != 0 || p.Peers() != 1 {
				t.Errorf("%d packets are missing, %d peers, want none and one", track.gaps, p.Peers())
			}
		})
	}
}

// TestSourceLostOften: 50 losses with a few failed attempts each hold nothing,
// and each says one line when it comes and one when it goes.
func TestSourceLostOften(t *testing.T) {
	losses := 15
	if os.Getenv("GSTPEER_LONG") != "" {
		losses = 50
	}
	source := startLiveSource(t)
	log := &logged{}
	p, _, screen := openLive(t, source, func(c *Config) {
		c.longestReopening = 20 * time.Millisecond
		c.Log = slog.New(slog.NewTextHandler(log, nil))
	})
	lose := func(n int) {
		for range n {
			captured := p.CapturedFrames(Video)
			source.off()
			awaitState(t, p, true)
			source.on()
			awaitState(t, p, false)
			awaitCaptured(t, p, captured+2)
		}
	}
	lose(3) // whose threads stay with GLib's pool
	screen.await("the source", bright)
	before := currentHoldings(t)
	lose(losses)
	screen.await("the source", bright)
	awaitHoldings(t, before)
	if lost, back := log.count("source lost"), log.count("source back"); lost != losses+3 || back != losses+3 {
		t.Errorf("%d lines say that it was lost, %d that it is back, want %d each", lost, back, losses+3)
	}
}

func awaitState(t *testing.T, p *Pipeline, lost bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); p.SourceStates()[0].Lost != lost; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("source lost: %t, want %t", !lost, lost)
		}
	}
}

func awaitCaptured(t *testing.T, p *Pipeline, n uint64) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); p.CapturedFrames(Video) < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d frames captured, want %d", p.CapturedFrames(Video), n)
		}
	}
}

// TestExitOnSourceLoss: who wants to, gets an error.
func TestExitOnSourceLoss(t *testing.T) {
	p, _ := openTest(t, func(c *Config) {
		c.Video = mustParse(t, ParseVideo, "launch:videotestsrc is-live=true num-buffers=10 ! video/x-raw,framerate=15/1")
		c.Audio, c.ExitOnSourceLoss = Source{}, true
	})
	err := p.Wait(t.Context())
	if !errors.Is(err, ErrSourceLost) || !strings.Contains(err.Error(), "it ended") {
		t.Errorf("got %v, want ErrSourceLost because it ended", err)
	}
}

// TestLossOfSound: silence stands in for sound, without a gap.
func TestLossOfSound(t *testing.T) {
	p, board := openTest(t, func(c *Config) {
		c.Video, c.longestReopening = Source{}, time.Hour
		c.Audio = mustParse(t, ParseAudio, "launch:audiotestsrc is-live=true samplesperbuffer=480 ! identity error-after=100")
	})
	r := newRemote(t, board, p, "listener")
	defer r.close()
	r.offer(webrtc.RTPCodecTypeAudio)
	track := r.awaitTrack()
	awaitState(t, p, true)
	s := p.tracks[Opus].Subscribe()
	defer s.Close()
	before := time.Duration(-1)
	for range 100 {
		f, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if before >= 0 && (f.PTS <= before || f.PTS-before > 200*time.Millisecond) {
			t.Errorf("a frame at %s follows one at %s", f.PTS, before)
		}
		before = f.PTS
	}
	track.awaitFrames(t, 150)
	if p.Peers() != 1 {
		t.Error("the listener has ended")
	}
}

// TestSlowSource: few frames a second are no stall, where they are declared.
func TestSlowSource(t *testing.T) {
	p, _ := openTest(t, func(c *Config) {
		c.Video = mustParse(t, ParseVideo, "launch:videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=2/3")
		c.Audio, c.StallTimeout = Source{}, 500*time.Millisecond
	})
	awaitCaptured(t, p, 3)
	if s := p.SourceStates()[0]; s.Lost {
		t.Errorf("%+v, want a source that is there", s)
	}
}

func TestSlateText(t *testing.T) {
	for text, want := range map[string]string{
		"rtsp://user:secret@cam:554/live?password=secret#secret": "Camera lost: rtsp://cam:554 - trying again",
		"launch:rtspsrc user-pw=secret":                          "Source lost - trying again",
		"screen":                                                 "Screen lost - trying again",
	} {
		if got := mustParse(t, ParseVideo, text).slate(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestSlatePicture: there is a slate for every size, also where there is nothing
// to write with.
func TestSlatePicture(t *testing.T) {
	initialize()
	for _, size := range [][2]int{{2, 2}, {16, 16}, {18, 6}, {322, 242}, {1280, 720}} {
		format := pictureFormat{width: size[0], height: size[1]}
		written, err := writeSlate(t.Context(), format, `<b> & "quoted" \`, testLog(t))
		if err != nil {
			t.Errorf("%v: %v", size, err)
			continue
		}
		if got, want := len(plainPicture(size[0], size[1])), len(written.Bytes()); got != want {
			t.Errorf("%v: a plain slate has %d bytes, want %d", size, got, want)
		}
		releaseMini(written)
	}
}

func TestParsePictureFormat(t *testing.T) {
	for caps, want := range map[string]pictureFormat{
		"video/x-raw, format=(string)I420, width=(int)320, height=(int)240, framerate=(fraction)30/1":                                   {320, 240, time.Second / 30},
		"video/x-raw, width=(int)2, height=(int)4, max-framerate=(fraction)60/1, framerate=(fraction)0/1":                               {2, 4, 0},
		"video/x-raw, format=(string)I420, width=(int)640, height=(int)480, framerate=(fraction)1/10, pixel-aspect-ratio=(fraction)1/1": {640, 480, 10 * time.Second},
		"audio/x-raw": {},
		"":            {},
	} {
		if got := parsePictureFormat(caps); got != want {
			t.Errorf("%s: %+v, want %+v", caps, got, want)
		}
	}
}

// TestHangingSource: what hangs while it is opened is waited for, and stopped as
// soon as it lets itself be.
func TestHangingSource(t *testing.T) {
	initialize()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	before := currentHoldings(t)
	pipeline, err := gst.NewPipelineFromString("filesrc location=" + fifo + " ! fakesink") // waits for somebody who writes
	if err != nil {
		t.Fatal(err)
	}
	err = startPipeline(testLog(t), "fifo", pipeline)
	if !errors.Is(err, errHangs) {
		t.Fatalf("got %v, want errHangs", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if awaitEnd(ctx, err) {
		t.Error("it is not waited for")
	}
	writer, openErr := os.OpenFile(fifo, os.O_WRONLY, 0)
	if openErr != nil {
		t.Fatal(openErr)
	}
	writer.Close()
	if !awaitEnd(t.Context(), err) {
		t.Error("it is waited for although it has ended")
	}
	awaitHoldings(t, before)
}
