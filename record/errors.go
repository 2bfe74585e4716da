package record

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// The errors of this package, for errors.Is.
var (
	// ErrConfig means that Open or AddTrack was asked for what makes no sense.
	ErrConfig = errors.New("record: not a valid configuration")
	// ErrCodec means that a track's codec cannot be recorded, or not in the format.
	ErrCodec = errors.New("record: codec cannot be recorded")
	// ErrTrack means that a frame's track was never added, or was removed.
	ErrTrack = errors.New("record: no such track")
	// ErrDirectory means that no file can be made in the directory.
	ErrDirectory = errors.New("record: cannot make files in the directory")
	// ErrDiskFull means that the file system or the user's quota is full.
	ErrDiskFull = errors.New("record: disk full")
	// ErrFileTooLarge means that a file reached a limit of the file system or of
	// the process (RLIMIT_FSIZE).
	ErrFileTooLarge = errors.New("record: file has reached the size limit")
	// ErrWrite means that writing failed for any other reason.
	ErrWrite = errors.New("record: cannot write")
	// ErrClosed means that a Recorder was used after Close.
	ErrClosed = errors.New("record: recorder is closed")
)

// directoryError says why no file can be made, and what to do.
func directoryError(directory string, err error) error {
	kind, advice := ErrDirectory, "choose another directory"
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind, advice = ErrDiskFull, "free some space, or choose another directory"
	case errors.Is(err, fs.ErrPermission):
		advice = "give this user the right to write there, or choose another directory"
	case errors.Is(err, syscall.EROFS):
		advice = "mount it for writing, or choose another directory"
	case errors.Is(err, syscall.ENOTDIR):
		advice = "a file of that name is in the way: choose another directory"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		advice = "too many files are open: raise the limit (ulimit -n)"
	}
	return fmt.Errorf("%w %s: %w: %s", kind, directory, err, advice)
}

// writeError says what could not be written, and what to do. size is what the
// file has.
func writeError(path string, size int64, err error) error {
	kind, advice := ErrWrite, "check the disk"
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind, advice = ErrDiskFull, "free some space, or record elsewhere"
	case errors.Is(err, syscall.EFBIG):
		kind, advice = ErrFileTooLarge, "raise the limit (ulimit -f), or split the recording into smaller files"
	}
	return fmt.Errorf("%w: %s ends after %d bytes, which play: %w: %s", kind, path, size, err, advice)
}
