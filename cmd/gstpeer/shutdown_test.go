package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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

// TestNobodyReads: when what reads the texts has ended, recordings are finished
// before the program ends.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	relay, recorded := "ws://"+startRelay(t), t.TempDir()
	args := slices.Concat([]string{"-c", `"$0" "$@" | head -n 1; exit ${PIPESTATUS[0]}`, os.Args[0],
		"--server", relay, "--name", "cam", "--codecs", "h264", "--record", recorded, "--record-format", "mp4", "--data-stdout"}, small)
	p := startAsGstpeer(t, nil, exec.Command("bash", args...))
	p.awaitLog(t, "Streaming to room")
	talker := startStreamingTo(t, relay, "talker", "--codecs", "h264", "--data-stdin")
	await(t, "recording", func() bool {
		files, _ := filepath.Glob(filepath.Join(recorded, "demo-talker-*.mp4"))
		return len(files) == 1
	})
	time.Sleep(3 * time.Second) // of the recording
	await(t, "end", func() bool {
		_, err := talker.stdin.Write([]byte("to all\n"))
		return err != nil || p.hasExited()
	})
	if code := p.ExitCode(patience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if said := p.stderr.String(); !strings.Contains(said, "gstpeer: --data-stdout: ") {
		t.Error("it does not say why it has ended")
	}
	wantRecordedFrames(t, recorded, "demo-talker-*.mp4", enoughFrames)
	wantFinished(t, recorded, "demo-talker-*.mp4")
}
