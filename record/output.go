package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// storage is what a file is written to.
type storage interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
}

// output is a file that only ever ends at the end of something whole.
type output struct {
	// Static.
	storage storage
	path    string

	size     int64
	hasMedia bool
}

// append adds all of the bytes or none.
func (o *output) append(b []byte) error {
	if _, err := o.storage.WriteAt(b, o.size); err != nil {
		// What came of it stays, and os.File may say that it is nothing.
		_ = o.storage.Truncate(o.size)
		return writeError(o.path, o.size, err)
	}
	o.size += int64(len(b))
	return nil
}

// patch overwrites what is there.
func (o *output) patch(b []byte, at int64) error {
	if _, err := o.storage.WriteAt(b, at); err != nil {
		return writeError(o.path, o.size, err)
	}
	return nil
}

func (o *output) close() error {
	if err := o.storage.Close(); err != nil {
		return writeError(o.path, o.size, err)
	}
	return nil
}

// maxSuffix is how many files of one name there may be.
const maxSuffix = 9999

// createFile makes a new file, never through a symbolic link.
func createFile(path string) (storage, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
}

// createNew makes a file in the directory that was not there before: of the name
// if that is free, else with the first suffix of -2, -3 … that is.
func createNew(create func(path string) (storage, error), directory, name, extension string) (storage, string, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, "", directoryError(directory, err)
	}
	for n := 1; n <= maxSuffix; n++ {
		suffix := ""
		if n > 1 {
			suffix = fmt.Sprintf("-%d", n)
		}
		path := filepath.Join(directory, name+suffix+"."+extension)
		s, err := create(path)
		if err == nil {
			return s, path, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, "", directoryError(directory, err)
		}
	}
	return nil, "", directoryError(directory, fmt.Errorf("%s and %d more of that name are there", name, maxSuffix-1))
}

// CheckDirectory makes the directory if it is missing, and proves that files can
// be made in it. Open does so as well; a program that wants to know before a call
// asks here. It returns ErrDirectory or ErrDiskFull.
func CheckDirectory(directory string) error {
	if directory == "" {
		return fmt.Errorf("%w: no directory: say which", ErrDirectory)
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return directoryError(directory, err)
	}
	probe, err := os.CreateTemp(directory, ".record-*")
	if err != nil {
		return directoryError(directory, err)
	}
	err = probe.Close()
	if removeErr := os.Remove(probe.Name()); err == nil {
		err = removeErr
	}
	if err != nil {
		return directoryError(directory, err)
	}
	return nil
}
