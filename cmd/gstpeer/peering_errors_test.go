package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pion/webrtc/v4"
)

// TestPeeringUsageErrors is about calls, receiving and recording.
func TestPeeringUsageErrors(t *testing.T) {
	text := textFile(t)
	elsewhere := []string{"--server", "ws://127.0.0.1:1"}
	for _, f := range []failure{
		{args: []string{"--call", "bob", "--answer"}, says: `--call and --answer exclude each other: make calls or take them`},
		{args: []string{"--call", "bob"}, says: `--call wants --server`},
		{args: append(elsewhere, "--call", "bob", "--room", "lab"), says: `--room is for rooms: leave it out with --call and --answer`},
		{args: []string{"--answer", "--room", "lab"}, says: `--room is for rooms: leave it out with --call and --answer`},
		{args: append(elsewhere, "--call", "two words"), says: `--call.*"two words" has white space`},
		{args: append(elsewhere, "--call", "us", "--name", "us"), says: `--call wants another peer than this one, which --name calls "us"`},
		{args: []string{"--remote-offers"}, says: `--remote-offers wants --call`},
		{args: []string{"--once"}, says: `--once wants --answer`},
		{args: append(elsewhere, "--call", "bob", "--once"), says: `--once wants --answer`},
		{args: []string{"--send-only", "--receive-only"}, says: `--send-only and --receive-only exclude each other`},
		{args: []string{"--send-only", "--record", t.TempDir()}, says: `--record, --play and --sink want what --send-only declines`},
		{args: []string{"--send-only", "--play"}, says: `--record, --play and --sink want what --send-only declines`},
		{args: []string{"--receive-only", "--exit-on-source-loss"}, says: `--receive-only opens no source that --exit-on-source-loss could tell of: leave one of them out`},
		{args: []string{"--receive-only", "--video", "screen"}, says: `--receive-only opens no source: leave --video and --audio out`},
		{args: []string{"--record", t.TempDir(), "--record-split", "10ms"}, says: `--record-split wants 1s or more, got 10ms`},
		{args: []string{"--record", t.TempDir(), "--record-split=-1m"}, says: `--record-split wants 1s or more, got -1m0s`},
		{args: []string{"--record", t.TempDir(), "--record-split", "soon"}, says: `--record-split.*"soon"`},
		{args: []string{"--record-split", "10m"}, says: `--record-split and --record-format want --record`},
		{args: []string{"--record-format", "mp4"}, says: `--record-split and --record-format want --record`},
		{args: []string{"--record", t.TempDir(), "--record-format", "mp4", "--codecs", "vp8"}, says: `--record-format mp4 cannot hold VP8: name h264 or vp9 in --codecs, or record mkv`},
		{args: []string{"--record", t.TempDir(), "--record-format", "avi"}, says: `--record-format must be one of "mkv","mp4" but got "avi"`},
		{args: []string{"--record", filepath.Join(text, "below")}, says: `--record:.*text.txt`},
		{args: []string{"--record", "/proc/nowhere"}, says: `--record:.*/proc/nowhere`},
		{args: []string{"--sink", "udpsink"}, says: `--sink: "udpsink" is not a sink: want launch:FRAGMENT`},
		{args: []string{"--sink", "launch: "}, says: `--sink: "launch: " is not a sink: want launch:FRAGMENT`},
		{args: []string{"--sink", "launch:video. ! nosuchelement"}, says: `--sink:.*no element "nosuchelement".*gst-launch-1.0`},
		{args: []string{"--sink", "launch:video. ! ! fakesink"}, says: `--sink:.*gst-launch-1.0`},
		{args: []string{"--sink", "launch:nobody. ! fakesink"}, says: `--sink:.*gst-launch-1.0`},
	} {
		f.code = 2
		t.Run(f.name(), f.check)
	}
}

// TestCallErrors calls those who cannot be called.
func TestCallErrors(t *testing.T) {
	relay := "ws://" + startRelay(t)
	joinRoom(t, relay, "joined")
	for _, f := range []failure{
		{args: []string{"--call", "nobody"}, says: `"nobody".*start that peer first, with --answer or so`},
		{args: []string{"--call", "joined"}, says: `"joined".*it is in a call or a room, try again later`},
	} {
		f.code = 1
		f.args = append(f.args, "--server", relay, "--receive-only", "--name", strings.ReplaceAll(t.Name(), "/", "_")+f.args[1])
		t.Run(f.args[1], f.check)
	}
}

// TestDiskFull fills a small disk with what a caller sends: the recording ends
// with one error, and the call goes on.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("none", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	relay := "ws://" + startRelay(t)
	phone := newPhone(t, relay, "pion")
	callee := startGstpeer(t, nil, slices.Concat([]string{"--server", relay, "--answer", "--once", "--name", "gst", "--record", disk}, small)...)
	callee.awaitOutput("Waiting for calls")
	rest := bytes.Repeat([]byte{0}, 200<<10) // what is left is full in a few seconds
	if err := os.WriteFile(filepath.Join(disk, "rest"), rest, 0o600); err != nil {
		t.Fatal(err)
	}
	phone.dial("gst", false)
	picture := phone.awaitTrack(other, webrtc.RTPCodecTypeVideo)
	const ended = `level=ERROR msg="recording ended, the call goes on"`
	await(t, "word of the full disk", func() bool { return strings.Contains(callee.stderr.String(), ended) })
	picture.awaitFrames(t, 3*enoughFrames)
	phone.hangUp()
	if code := callee.ExitCode(stopsWithin); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	log := callee.stderr.String()
	if n := strings.Count(log, "level=ERROR"); n != 1 || !strings.Contains(log, "full") {
		t.Errorf("%d errors, want one that says that the disk is full", n)
	}
	if pieces, err := filepath.Glob(filepath.Join(disk, "call-*.mkv")); err != nil || len(pieces) != 1 {
		t.Errorf("the files are %q, want the one up to the error", pieces)
	}
}
