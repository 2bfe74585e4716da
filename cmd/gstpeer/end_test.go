package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// TestBoundEnd: what hangs does not keep the program, which says what it was.
func TestBoundEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var log bytes.Buffer
		codes := make(chan int, 1)
		ended := boundEnd(ctx, slog.New(slog.NewTextHandler(&log, nil)), func(code int) { codes <- code })
		cancel()
		began := time.Now()
		if code := <-codes; code == 0 || time.Since(began) > stopsWithin {
			t.Errorf("exit code %d after %s", code, time.Since(began))
		}
		ended()
		if !strings.Contains(log.String(), "TestBoundEnd") {
			t.Errorf("the log does not say what hangs: %s", &log)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := boundEnd(ctx, slog.New(slog.DiscardHandler), func(int) { t.Error("the program is ended") })
		cancel()
		time.Sleep(endLimit - time.Millisecond)
		ended()
		boundEnd(t.Context(), slog.New(slog.DiscardHandler), nil)()
	})
}

// TestStuckReader: who does not read standard output does not keep the program.
func TestStuckReader(t *testing.T) {
	t.Parallel()
	reader, stuck := io.Pipe()
	w := newTextWriter(stuck, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.run(ctx) }()
	w.take("x", "y")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	reader.Close() // as the end of the program does
}

// TestStuckSink ends a gstpeer whose --sink writes to a pipe that nobody reads.
func TestStuckSink(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0) // it never reads
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	cam := startStreaming(t, "--room", "r", "--audio", "none")
	p := startGstpeer(t, nil, "--server", cam.relay(), "--room", "r", "--receive-only",
		"--sink", "launch:video. ! videoconvert ! y4menc ! filesink location="+fifo)
	full := 16 * os.Getpagesize() // of a pipe
	await(t, "full pipe", func() bool { return buffered(t, reader) > full/2 })
	p.signal(syscall.SIGTERM)
	if code := p.ExitCode(stopsWithin); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// buffered is how many bytes wait in a pipe.
func buffered(t *testing.T, pipe *os.File) int {
	t.Helper()
	n, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
