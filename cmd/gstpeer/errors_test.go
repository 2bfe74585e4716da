package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/rtsptest"
)

// logLine is a line of the log, which stands on standard error too.
var logLine = regexp.MustCompile(`^time=\S+ level=(INFO|WARN|ERROR) `)

// startLimit is longer than the ten seconds after which a source that delivers
// nothing is an error.
const startLimit = 20 * time.Second

// failure is one way to use the program wrongly, or to meet a world that is not
// as it should be.
type failure struct {
	args        []string
	environment []string
	code        int
	says        string // what the line of the error says: what is wrong, and what to do
}

// check runs the program, which must end with that exit code and one line.
func (f failure) check(t *testing.T) {
	t.Parallel()
	p := startGstpeer(t, f.environment, f.args...)
	if code := p.ExitCode(startLimit); code != f.code {
		t.Errorf("exit code %d, want %d", code, f.code)
	}
	var lines []string
	for line := range strings.Lines(p.stderr.String()) {
		if !logLine.MatchString(line) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "gstpeer: ") {
		t.Errorf("want one line \"gstpeer: …\" beside the log, got %q", lines)
	}
	if !regexp.MustCompile(f.says).MatchString(strings.Join(lines, "\n")) {
		t.Errorf("got %q, want %q", lines, f.says)
	}
	if p.stdout.String() != "" {
		t.Errorf("standard output %q, want none", p.stdout.String())
	}
}

func (f failure) name() string {
	return strings.ReplaceAll(strings.Join(append(f.environment, f.args...), " "), "/", "_")
}

func TestUsageErrors(t *testing.T) {
	text := textFile(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []failure{
		{args: []string{"--nope"}, says: `unknown flag --nope.*see gstpeer --help`},
		{args: []string{"extra"}, says: `unexpected argument extra; see gstpeer --help`},
		{args: []string{"--video", "webcam"}, says: `--video.*"webcam".*want test, v4l2:/dev/videoN, rtsp://`},
		{args: []string{"--video", "v4l2:/dev/video77"}, says: `--video.*no camera /dev/video77: ls /dev/video\*`},
		{args: []string{"--video", "file:/nonexistent.webm"}, says: `--video.*/nonexistent.webm: no such file.*check the path`},
		{args: []string{"--video", "file:/"}, says: `--video.*/ is a directory or a device: name a media file`},
		{args: []string{"--video", "file:" + fifo}, says: `--video.*fifo is a directory or a device: name a media file`},
		{args: []string{"--video", "rtsp:///live"}, says: `--video.*has no host: want rtsp://`},
		{args: []string{"--audio", "loud"}, says: `--audio.*"loud".*want auto, test`},
		{args: []string{"--audio", "source"}, says: `"source".* is the sound of a file or an RTSP camera`},
		{args: []string{"--video", "none"}, says: `neither picture nor sound`},
		{args: []string{"--width", "1"}, says: `--width wants 16 to 7680, got 1`},
		{args: []string{"--height", "101"}, says: `--height want even numbers`},
		{args: []string{"--frame-rate", "0"}, says: `--frame-rate wants 1 to 240, got 0`},
		{args: []string{"--source-timeout", "10ms"}, says: `--source-timeout wants 1s or more, got 10ms`},
		{args: []string{"--video-bitrate", "fast"}, says: `--video-bitrate.*"fast"`},
		{args: []string{"--codecs", "vp8,mpeg2"}, says: `--codecs: "mpeg2".*want vp8, h264 or vp9`},
		{args: []string{"--codecs", "vp8,VP8"}, says: `--codecs: vp8 is there twice`},
		{args: []string{"--room", "two words"}, says: `room.*"two words" has white space`},
		{args: []string{"--room", "session"}, says: `room.*"session" is reserved`},
		{args: []string{"--name", "two words"}, says: `uid.*"two words" has white space`},
		{args: []string{"--listen", "8443"}, says: `--listen wants host:port.*got "8443"`},
		{args: []string{"--server", "relay:8443"}, says: `--server.*want ws://host:port or wss://host:port`},
		{args: []string{"--insecure"}, says: `about a relay elsewhere: give it with --server`},
		{args: []string{"--server", "ws://127.0.0.1:1", "--listen", ":0"}, says: `--listen .*are for the built-in relay`},
		{args: []string{"--server", "wss://127.0.0.1:1", "--insecure", "--ca-file", text}, says: `--ca-file does nothing with --insecure`},
		{args: []string{"--server", "wss://127.0.0.1:1", "--ca-file", "/nonexistent.pem"}, says: `--ca-file.*/nonexistent.pem: no such file`},
		{args: []string{"--server", "wss://127.0.0.1:1", "--ca-file", text}, says: `--ca-file.*text.txt has no certificate in PEM form`},
		{args: []string{"health", "--metrics", "9091"}, says: `want the HOST:PORT.*"9091"`},
		{args: []string{"health", "--server", "ws://127.0.0.1:1"}, says: `listens only where --metrics says`},
		{args: []string{"version", "now"}, says: `takes no arguments`},
		{args: []string{"--log-level", "loud"}, says: `--log-level.*"loud"`},
		{environment: []string{"GSTPEER_FRAME_RATE=fast"}, says: `--frame-rate.*"fast".*GSTPEER_FRAME_RATE`},
	} {
		f.code = 2
		t.Run(f.name(), f.check)
	}
}

func TestSourceErrors(t *testing.T) {
	text := textFile(t)
	nobody := freeAddress(t)
	mute, _ := startMute(t)
	wrongPassword := rtsptest.Start(t, rtsptest.Camera{User: "viewer", Password: "right"})
	for _, f := range []failure{
		{args: []string{"--video", "file:" + text}, says: `text.txt.*is it a video file, and is its decoder installed`},
		{args: []string{"--video", "rtsp://" + nobody + "/live"}, says: `rtsp://.*check address, user and password`},
		{args: []string{"--video", wrongPassword.URL("", "")}, says: `(?i)rtsp://.*unauthorized.*check address, user and password`},
		{args: []string{"--video", wrongPassword.URL("viewer", "wrong")}, says: `(?i)rtsp://127.0.0.1:\d+: unauthorized.*check address, user and password`},
		{args: []string{"--video", "screen"}, environment: []string{"DISPLAY="}, says: `set DISPLAY`},
		{args: []string{"--video", "screen"}, environment: []string{"DISPLAY=:77"}, says: `screen.*set DISPLAY`},
		{args: []string{"--audio", "alsa:nope"}, says: `alsa:nope.*arecord -L`},
		{args: []string{"--audio", "pulse"}, environment: []string{"PULSE_SERVER=/nonexistent"}, says: `audio source pulse.*is PulseAudio or PipeWire running`},
		{args: []string{"--video", "launch:nosuchsrc"}, says: `no element "nosuchsrc".*gst-launch-1.0`},
		{args: []string{"--video", "launch:videotestsrc ! ! "}, says: `launch:.*gst-launch-1.0`},
		{args: []string{"--video", "launch:videotestsrc num-buffers=0"}, says: `it ended.*gst-launch-1.0`},
		{args: []string{"--video", "launch:videotestsrc is-live=true ! identity drop-probability=1"}, says: `delivers nothing: no video within 10s`},
		{args: []string{"--video", "rtsp://" + mute + "/live"}, says: `delivers nothing: no video within 10s`},
		{args: []string{"--audio", "launch:audiotestsrc is-live=true ! identity drop-probability=1"}, says: `delivers nothing: no audio within 10s`},
	} {
		f.code = 1
		f.args = append(f.args, "--listen", "127.0.0.1:0")
		t.Run(f.name(), f.check)
	}
}

func TestListenErrors(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	for _, f := range []failure{
		{args: []string{"--listen", busy.Addr().String()}, says: `address \S+ is in use: .*choose another port with --listen`},
		{args: []string{"--listen", "192.0.2.1:8443"}, says: `cannot listen on 192.0.2.1:8443: choose an address of this machine`},
	} {
		f.code = 1
		t.Run(f.name(), f.check)
	}
}

// textFile is a file without media.
func textFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "text.txt")
	if err := os.WriteFile(path, []byte(strings.Repeat("no media\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startMute takes connections, until the test ends, and never says anything. It
// tells of the first one.
func startMute(t *testing.T) (address string, dialled <-chan struct{}) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan struct{})
	var accepting sync.WaitGroup
	accepting.Go(func() {
		var taken []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				break
			}
			if taken = append(taken, conn); len(taken) == 1 {
				close(first)
			}
		}
		for _, conn := range taken {
			conn.Close()
		}
	})
	t.Cleanup(func() { listener.Close(); accepting.Wait() })
	return listener.Addr().String(), first
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return fmt.Sprint(listener.Addr())
}
