package record_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/record"
)

// These have the tests' program record into the directory that they name: files of
// a limited size, or without an end.
const (
	asLimited = "GSTPEER_RECORD_LIMITED"
	asEndless = "GSTPEER_RECORD_ENDLESS"
)

func program(t *testing.T, as, directory string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path)
	command.Env = append(os.Environ(), as+"="+directory)
	return command
}

// sizeLimit is the size that no file of that program may exceed.
const sizeLimit = 100_000

// recordLimited records noise until the system refuses more, and gives the
// program's exit code.
func recordLimited(directory string) int {
	limit := syscall.Rlimit{Cur: sizeLimit, Max: sizeLimit}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := recordNoise(directory, 1000); !errors.Is(err, record.ErrFileTooLarge) {
		fmt.Fprintln(os.Stderr, "got", err)
		return 1
	}
	return 0
}

// recordNoise records packets that only look like Opus.
func recordNoise(directory string, packets int) error {
	now := wallStart
	r, err := record.Open(record.Config{
		Directory: directory, UID: "noise", Tracks: []record.Track{{ID: tone, Codec: record.Opus}},
		Now: func() time.Time { return now },
	})
	if err != nil {
		return err
	}
	for i := range packets {
		payload := make([]byte, 1000)
		payload[0] = 0xfc // 20 ms of CELT
		pts := time.Duration(i) * 20 * time.Millisecond
		now = wallStart.Add(pts)
		if err := r.Write(record.Frame{Track: tone, PTS: pts, Payload: payload}); err != nil {
			return err
		}
	}
	return r.Close()
}

// TestFileSizeLimit reaches a real limit, which the kernel also tells by a signal.
func TestFileSizeLimit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if output, err := program(t, asLimited, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	f := readMatroska(t, filepath.Join(dir, "noise-20261125T101530.mkv"))
	if n := len(f.blocks); n < 90 || n > 100 || !f.closed {
		t.Errorf("got %d packets, closed %v; want some 98, true", n, f.closed)
	}
}

// TestSmallFileSystem fills a real file system, where this user may mount one.
func TestSmallFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if err := recordNoise(dir, 1000); !errors.Is(err, record.ErrDiskFull) {
		t.Fatalf("got %v, want ErrDiskFull", err)
	}
	f := readMatroska(t, filepath.Join(dir, "noise-20261125T101530.mkv"))
	if n := len(f.blocks); n < 200 {
		t.Errorf("got %d packets, want some 250", n)
	}
	// The next call does not even begin.
	if err := os.WriteFile(filepath.Join(dir, "rest"), make([]byte, 256<<10), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want a full file system", err)
	}
	if err := recordNoise(dir, 1000); !errors.Is(err, record.ErrDiskFull) {
		t.Errorf("got %v, want ErrDiskFull", err)
	}
}
