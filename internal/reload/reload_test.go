package reload

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var errUnlike = errors.New("the files are not alike")

// follow has two files that must be alike.
func follow(t *testing.T, log *slog.Logger) (f *Files, write func(index int, text string), used func() string) {
	t.Helper()
	dir, current := t.TempDir(), ""
	paths := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	write = func(index int, text string) {
		t.Helper()
		if err := os.WriteFile(paths[index], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(0, "first")
	write(1, "first")
	f, err := Open(log, func(contents [][]byte) error {
		if !bytes.Equal(contents[0], contents[1]) {
			return errUnlike
		}
		current = string(contents[0])
		return nil
	}, paths...)
	if err != nil {
		t.Fatal(err)
	}
	return f, write, func() string { return current }
}

// TestPoll goes through what may lie in the files.
func TestPoll(t *testing.T) {
	var log bytes.Buffer
	f, write, used := follow(t, slog.New(slog.NewTextHandler(&log, nil)))
	after := func(polls int, want string, complaints int) {
		t.Helper()
		for range polls {
			f.poll()
		}
		if used() != want {
			t.Errorf("in use is %q, want %q", used(), want)
		}
		if got := strings.Count(log.String(), "level=ERROR"); got != complaints {
			t.Errorf("%d complaints, want %d:\n%s", got, complaints, &log)
		}
	}
	after(3, "first", 0)
	write(0, "second")
	after(1, "first", 0) // may be half of a change
	after(10, "first", 1)
	write(1, "second")
	after(1, "second", 1)
	if err := os.Remove(f.paths[1]); err != nil {
		t.Fatal(err)
	}
	after(10, "second", 2)
	write(0, "third")
	write(1, "third")
	after(1, "third", 2)
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, write, used := follow(t, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		write(0, "second")
		write(1, "second")
		time.Sleep(2 * pollInterval)
		cancel()
		if err := <-ended; err != nil || used() != "second" {
			t.Errorf("Run: %v, in use is %q", err, used())
		}
	})
}

// TestPipe: one is read once, and never waited for again.
func TestPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() { _ = os.WriteFile(pipe, []byte("once"), 0) }()
	var got []byte
	f, err := Open(slog.Default(), func(contents [][]byte) error { got = contents[0]; return nil }, pipe)
	if err != nil || string(got) != "once" {
		t.Fatalf("%q, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(pollInterval+100*time.Millisecond, cancel)
	if err := f.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(slog.Default(), func([][]byte) error { return nil }, filepath.Join(dir, "missing"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want os.ErrNotExist", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(slog.Default(), func([][]byte) error { return errUnlike }, file); !errors.Is(err, errUnlike) {
		t.Errorf("%v, want what use says", err)
	}
}
