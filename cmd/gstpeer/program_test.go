package main

import (
	"context"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/internal/proctest"
)

// stopsWithin is how long the program may take to end when it is told to.
const stopsWithin = 5 * time.Second

func TestHelp(t *testing.T) {
	t.Parallel()
	p := startGstpeer(t, nil, "--help")
	if code := p.ExitCode(startLimit); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if p.stderr.String() != "" {
		t.Errorf("standard error %q, want none", p.stderr.String())
	}
	help := strings.Join(strings.Fields(p.stdout.String()), " ")
	for _, flag := range flagNames(reflect.TypeFor[flags]()) {
		variable := "($GSTPEER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_")) + ")"
		entry := regexp.MustCompile(`--` + flag + `(=\S+)? [A-Z].*?\(\$\w+\)`).FindString(help)
		if !strings.Contains(entry, variable) {
			t.Errorf("--%s: the help says %q, want %s", flag, entry, variable)
		}
		if !slices.Contains([]string{"server", "ca-file", "insecure", "tls-cert", "tls-key", "tls-self-signed"}, flag) && !strings.Contains(entry, "Default: ") {
			t.Errorf("--%s: the help says %q, want a default", flag, entry)
		}
	}
	for _, unit := range []string{"--width=PIXELS", "--height=PIXELS", "--frame-rate=FPS", "--video-bitrate=KBIT/S", "--audio-bitrate=KBIT/S"} {
		if !strings.Contains(help, unit) {
			t.Errorf("the help lacks %s", unit)
		}
	}
}

// flagNames lists the flags of a struct as they are written.
func flagNames(of reflect.Type) []string {
	var names []string
	for field := range of.Fields() {
		switch {
		case field.Anonymous:
			names = append(names, flagNames(field.Type)...)
		case field.Tag.Get("name") != "":
			names = append(names, field.Tag.Get("name"))
		default:
			words := regexp.MustCompile(`[A-Z][a-z]*`).FindAllString(field.Name, -1)
			names = append(names, strings.ToLower(strings.Join(words, "-")))
		}
	}
	return names
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	p := startGstpeer(t, []string{
		"GSTPEER_LISTEN=127.0.0.1:0", "GSTPEER_ROOM=from the", "GSTPEER_NAME=environment",
		"GSTPEER_WIDTH=320", "GSTPEER_HEIGHT=180", "GSTPEER_CODECS=h264", "GSTPEER_AUDIO=none",
	}, "--room", "demo") // the command line comes first
	v := newViewer(t, p.relay(), "viewer")
	if track := v.awaitTrack("environment", webrtc.RTPCodecTypeVideo); track.mimeType != webrtc.MimeTypeH264 {
		t.Errorf("got %s, want H264", track.mimeType)
	}
}

func TestSignals(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			p := startStreaming(t)
			v := newViewer(t, p.relay(), "viewer")
			v.awaitTrack("cam", webrtc.RTPCodecTypeVideo).awaitFrames(t, 1)
			v.expectEnd()
			p.signal(s)
			if code := p.ExitCode(stopsWithin); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			if strings.Contains(p.stderr.String(), "gstpeer: ") {
				t.Error("an error is reported")
			}
		})
	}
	t.Run("while the source starts", func(t *testing.T) {
		t.Parallel()
		camera, dialled := startMute(t)
		p := startGstpeer(t, nil, "--listen", "127.0.0.1:0", "--video", "rtsp://"+camera+"/live")
		<-dialled
		p.signal(syscall.SIGTERM)
		if code := p.ExitCode(stopsWithin); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	})
}

func TestSignalWhileRelayIsMute(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"ws://", "wss://"} {
		relay, dialled := startMute(t)
		p := startGstpeer(t, nil, "--server", scheme+relay)
		<-dialled
		p.signal(syscall.SIGTERM)
		if code := p.ExitCode(stopsWithin); code != 0 {
			t.Errorf("%s: exit code %d, want 0", scheme, code)
		}
	}
}

// TestRunInProcess shows, with the check for leaks in TestMain, that nothing
// outlives run.
func TestRunInProcess(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout proctest.Output
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, slices.Concat([]string{"--listen", "127.0.0.1:0", "--name", "cam"}, small), &stdout, io.Discard)
	}()
	page := regexp.MustCompile(`Open http://([^/]+)/`)
	await(t, "page", func() bool { return page.MatchString(stdout.String()) })
	v := newViewer(t, "ws://"+page.FindStringSubmatch(stdout.String())[1], "viewer")
	v.awaitTrack("cam", webrtc.RTPCodecTypeVideo).awaitFrames(t, 10)
	v.awaitTrack("cam", webrtc.RTPCodecTypeAudio).awaitPackets(t, 10)
	v.expectEnd()
	cancel()
	if err := <-ended; err != nil || cli.Report(io.Discard, "gstpeer", err) != 0 {
		t.Errorf("run: %v", err)
	}
}
