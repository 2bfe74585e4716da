// Package reload follows files that are exchanged while a program uses them,
// such as certificates and keys that are renewed.
package reload

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"
)

// pollInterval is how soon changed files are noticed. Watching the folders would
// need one way per operating system, and mounted secrets change by symbolic link.
const pollInterval = 2 * time.Second

// Files are some that belong together.
type Files struct {
	paths []string
	use   func(contents [][]byte) error
	log   *slog.Logger
	once  bool // one is a pipe, and a second reader might wait for ever

	// Owned by Run.
	seen     contents // what was looked at last
	unusable error    // why what is seen is not in use; nil once that was logged
}

// contents of the files, or why there are none.
type contents struct {
	files [][]byte
	err   error
}

// Open reads the files and has them used. Use gets their contents in the order
// of the paths, and returns an error, and changes nothing, if they are of no use.
// Open gives that error, or the one of reading. A pipe is read once.
func Open(log *slog.Logger, use func(contents [][]byte) error, paths ...string) (*Files, error) {
	f := &Files{paths: paths, use: use, log: log, seen: read(paths), once: slices.ContainsFunc(paths, isPipe)}
	if err := f.try(f.seen); err != nil {
		return nil, err
	}
	return f, nil
}

func isPipe(path string) bool {
	stat, err := os.Stat(path)
	return err == nil && !stat.Mode().IsRegular()
}

func read(paths []string) contents {
	var c contents
	for _, path := range paths {
		file, err := os.ReadFile(path)
		c.files = append(c.files, file)
		c.err = errors.Join(c.err, err)
	}
	return c
}

func (c contents) equal(d contents) bool {
	return slices.EqualFunc(c.files, d.files, bytes.Equal) && (c.err == nil) == (d.err == nil)
}

func (f *Files) try(c contents) error {
	if c.err != nil {
		return c.err
	}
	return f.use(c.files)
}

// Run has changed files used within seconds, until ctx ends, which is no error.
// Those that are of no use are logged.
func (f *Files) Run(ctx context.Context) error {
	if f.once {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			f.poll()
		}
	}
}

// poll complains about files only when they are unusable twice in a row: several
// files cannot be exchanged at once, so what does not match may be half of a
// change, as may be a file that is being written.
func (f *Files) poll() {
	now := read(f.paths)
	if now.equal(f.seen) {
		if f.unusable != nil {
			f.log.Error("changed files cannot be used, what they held before is still in use", "files", f.paths, "err", f.unusable)
			f.unusable = nil
		}
		return
	}
	f.seen = now
	f.unusable = f.try(now)
}
