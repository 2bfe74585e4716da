package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/internal/mediatest"
	"github.com/gstpeer/gstpeer/internal/wire"
	"github.com/gstpeer/gstpeer/signalling"
)

// TestSignalInFullRoom ends a gstpeer that sends to eight peers and records one
// of them, while another member reads nothing: it leaves the room, and the file
// is complete.
func TestSignalInFullRoom(t *testing.T) {
	for format, s := range map[string]syscall.Signal{"mkv": syscall.SIGTERM, "mp4": syscall.SIGINT} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			address, recorded := startRelay(t), t.TempDir()
			relay := "ws://" + address
			joinStuck(t, address)
			p := startStreamingTo(t, relay, "recorder", "--codecs", "h264", "--record", recorded, "--record-format", format)
			member, _ := joinRoom(t, relay, "member") // never answers
			startStreamingTo(t, relay, "sender", "--codecs", "h264")
			for i := range 7 {
				v := newViewer(t, relay+"/?role=viewer", fmt.Sprint("viewer", i))
				v.awaitTrack("recorder", webrtc.RTPCodecTypeVideo).awaitFrames(t, 1)
			}
			await(t, "recording", func() bool {
				files, _ := filepath.Glob(filepath.Join(recorded, "demo-sender-*."+format))
				return len(files) == 1
			})
			time.Sleep(3 * time.Second) // of the recording
			p.signal(s)
			if code := p.ExitCode(stopsWithin); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			for {
				if left, ok := nextEvent(t, member, false).(signalling.PeerLeft); ok && left.UID == "recorder" {
					break
				}
			}
			wantRecorded(t, recorded, "demo-sender-*."+format, 30)
			wantFinished(t, recorded, "demo-sender-*."+format)
		})
	}
}

// wantFinished looks whether a file has what is only written at its end: a
// duration, and where to begin to play in the middle.
func wantFinished(t *testing.T, directory, pattern string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files match %s, want one", len(files), pattern)
	}
	text, err := exec.Command("gst-discoverer-1.0", files[0]).CombinedOutput()
	if err != nil {
		t.Fatalf("gst-discoverer-1.0: %v\n%s", err, text)
	}
	found := regexp.MustCompile(`Duration: (\S+)`).FindSubmatch(text)
	if found == nil || mediatest.ClockTime(string(found[1])) < time.Second || !bytes.Contains(text, []byte("Seekable: yes")) {
		t.Errorf("%s: want a duration, and that one can seek:\n%s", files[0], text)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	index := []byte("moov")
	if filepath.Ext(files[0]) == ".mkv" {
		index = []byte{0x1c, 0x53, 0xbb, 0x6b} // the ID of Cues
	}
	if !bytes.Contains(content, index) {
		t.Errorf("%s has no index", files[0])
	}
}

// TestSecondSignal: whoever does not want to wait for the end gets it at once. A
// shell says 143 or 130 then, as of any program that a signal ends.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	w, through := wire.New(t, "ws://"+startRelay(t))
	p := startGstpeer(t, nil, slices.Concat([]string{"--server", through, "--name", "cam"}, small)...)
	p.awaitOutput("Streaming to room")
	w.Hold() // so that the goodbye to the relay has no answer
	p.signal(syscall.SIGTERM)
	began := time.Now()
	for !p.hasExited() { // the first one may not have come yet
		time.Sleep(pollInterval)
		p.signal(syscall.SIGTERM)
	}
	status := p.Command.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v after %s, want the signal", p.Command.ProcessState, time.Since(began))
	}
}
