package record_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/record"
)

// TestOpenErrors asks for what cannot be.
func TestOpenErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		config record.Config
		want   error
		text   string
	}{
		{"no directory", record.Config{}, record.ErrDirectory, "say which"},
		{"a file is in the way", record.Config{Directory: file}, record.ErrDirectory, "in the way"},
		{"below a file", record.Config{Directory: filepath.Join(file, "below")}, record.ErrDirectory, "choose another"},
		{"not to be written", record.Config{Directory: "/proc/nothing"}, record.ErrDirectory, "choose another"},
		{"format", record.Config{Directory: dir, Format: "avi"}, record.ErrConfig, "want mkv or mp4"},
		{"short split", record.Config{Directory: dir, Split: time.Millisecond}, record.ErrConfig, "want 1s or more"},
		{"negative split", record.Config{Directory: dir, Split: -time.Hour}, record.ErrConfig, "want 1s or more"},
		{"codec", record.Config{Directory: dir, Tracks: []record.Track{{ID: 1, Codec: "av1"}}}, record.ErrCodec, "want vp8"},
		{"VP8 in MP4", record.Config{Directory: dir, Format: record.MP4, Tracks: []record.Track{{ID: 1, Codec: record.VP8}}}, record.ErrCodec, "record to mkv"},
		{"twice the same", record.Config{Directory: dir, Tracks: []record.Track{{ID: 1, Codec: record.VP8}, {ID: 1, Codec: record.Opus}}}, record.ErrConfig, "ID of its own"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := record.Open(test.config)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want %v: … %s …", err, test.want, test.text)
			}
		})
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("got %v in the directory, want nothing new", entries)
	}
}

// TestTrackErrors uses tracks that are not there.
func TestTrackErrors(t *testing.T) {
	t.Parallel()
	c := dial(t, record.Config{Format: record.MP4})
	if err := c.recorder.Write(record.Frame{Track: 5, Payload: []byte{1}}); !errors.Is(err, record.ErrTrack) {
		t.Errorf("got %v, want ErrTrack", err)
	}
	if err := c.recorder.AddTrack(record.Track{ID: 5, Codec: record.VP8}); !errors.Is(err, record.ErrCodec) {
		t.Errorf("got %v, want ErrCodec", err)
	}
	for i := range 64 {
		if err := c.recorder.AddTrack(record.Track{ID: i, Codec: record.Opus}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.recorder.AddTrack(record.Track{ID: 64, Codec: record.Opus}); !errors.Is(err, record.ErrConfig) {
		t.Errorf("got %v, want ErrConfig", err)
	}
	c.recorder.RemoveTrack(5)
	c.recorder.RemoveTrack(5)
	if err := c.recorder.AddTrack(record.Track{ID: 5, Codec: record.Opus}); err != nil {
		t.Errorf("an ID that is free again: %v", err)
	}
}

// TestClosed uses a Recorder after its end; nothing came, so no file is there.
func TestClosed(t *testing.T) {
	t.Parallel()
	c := dial(t, record.Config{Tracks: both(record.VP8)})
	for range 2 {
		if err := c.recorder.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	c.want()
	if err := c.recorder.Write(record.Frame{}); !errors.Is(err, record.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if err := c.recorder.Tick(); !errors.Is(err, record.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// smallDisk is a file on a disk that has so much room left.
type smallDisk struct {
	record.Storage
	room *int64
	size int64
	err  error
}

func (d *smallDisk) WriteAt(b []byte, at int64) (int, error) {
	grows := max(0, at+int64(len(b))-d.size)
	if grows > *d.room {
		n := max(0, int64(len(b))-grows+*d.room)
		d.size, *d.room = max(d.size, at+n), 0
		written, _ := d.Storage.WriteAt(b[:n], at)
		return written, d.err
	}
	d.size += grows
	*d.room -= grows
	return d.Storage.WriteAt(b, at)
}

func (d *smallDisk) Truncate(size int64) error {
	*d.room += d.size - size
	d.size = size
	return d.Storage.Truncate(size)
}

// TestDiskFull fills the disk at many places. What was written plays, the error
// comes once and stays, nothing without media is left.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	forFormats(t, func(t *testing.T, format record.Format, codec record.Codec) {
		all := mix(map[int][]frame{pictures: encode(t, video(codec, 4, 320, 240)), tone: encode(t, sound(4))})
		for _, room := range []int64{0, 10, 700, 20_000, 40_001, 70_003} {
			t.Run(fmt.Sprint(room), func(t *testing.T) {
				c := dial(t, record.Config{Format: format, Tracks: both(codec)})
				left := room
				c.recorder.Intercept(func(_ string, f record.Storage) (record.Storage, error) {
					return &smallDisk{Storage: f, room: &left, err: syscall.ENOSPC}, nil
				})
				err := writeUntil(c, all)
				wantOver(t, c, err, record.ErrDiskFull, "free some space")
				switch {
				case format == record.Matroska && room == 700:
					return // may hold a frame or not
				case room < 10_000, format == record.MP4 && room < 40_000: // not a whole fragment
					c.want()
					return
				}
				streams := play(t, c.file(), codec, record.Opus)
				if streams[0].Buffers < fps/2 || streams[1].Buffers < 25 {
					t.Errorf("got %v, want what came before", streams)
				}
			})
		}
	})
}

// writeUntil writes frames until an error comes.
func writeUntil(c *call, all []media) error {
	for _, m := range all {
		c.now = wallStart.Add(m.pts)
		if err := c.recorder.Write(record.Frame{Track: m.track, PTS: ptsStart + m.pts, Payload: m.payload}); err != nil {
			return err
		}
	}
	return c.recorder.Close()
}

// wantOver asserts that a Recorder ended with an error, and stays so.
func wantOver(t *testing.T, c *call, err, want error, advice string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(err.Error(), advice) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("got %v, want %v: … %s …", err, want, advice)
	}
	for name, again := range map[string]error{
		"Write": c.recorder.Write(record.Frame{Payload: []byte{1}}),
		"Tick":  c.recorder.Tick(),
		"Close": c.recorder.Close(),
	} {
		if again != err {
			t.Errorf("%s: got %v, want the same error again", name, again)
		}
	}
	if n := c.recorder.OpenFiles(); n != 0 {
		t.Errorf("%d files are open", n)
	}
}

// TestWriteErrors has the file system fail in other ways.
func TestWriteErrors(t *testing.T) {
	t.Parallel()
	all := mix(map[int][]frame{pictures: encode(t, video(record.VP8, 4, 320, 240)), tone: encode(t, sound(4))})
	for _, test := range []struct {
		came   error
		want   error
		advice string
	}{
		{syscall.EDQUOT, record.ErrDiskFull, "free some space"},
		{syscall.EFBIG, record.ErrFileTooLarge, "ulimit -f"},
		{syscall.EIO, record.ErrWrite, "check the disk"},
	} {
		t.Run(test.came.Error(), func(t *testing.T) {
			c := dial(t, record.Config{Tracks: both(record.VP8)})
			left := int64(20_000)
			c.recorder.Intercept(func(_ string, f record.Storage) (record.Storage, error) {
				return &smallDisk{Storage: f, room: &left, err: test.came}, nil
			})
			wantOver(t, c, writeUntil(c, all), test.want, test.advice)
			if got := play(t, c.file(), record.VP8)[0]; got.Buffers < 10 {
				t.Errorf("got %v, want what came before", got)
			}
		})
	}
}

// deadDisk fails at everything.
type deadDisk struct{ record.Storage }

func (deadDisk) WriteAt([]byte, int64) (int, error) { return 0, syscall.EIO }
func (deadDisk) Truncate(int64) error               { return syscall.EIO }
func (d deadDisk) Close() error {
	d.Storage.Close()
	return syscall.EIO
}

func TestDeadDisk(t *testing.T) {
	t.Parallel()
	all := mix(map[int][]frame{pictures: encode(t, video(record.VP8, 4, 320, 240)), tone: encode(t, sound(4))})
	c := dial(t, record.Config{Tracks: both(record.VP8)})
	c.recorder.Intercept(func(_ string, f record.Storage) (record.Storage, error) { return deadDisk{f}, nil })
	wantOver(t, c, writeUntil(c, all), record.ErrWrite, "check the disk")
	c.want()
}

// TestNoMoreFiles fails at the beginning of a second file: the first one is whole.
func TestNoMoreFiles(t *testing.T) {
	t.Parallel()
	picture, opus := encode(t, video(record.VP8, 4, 320, 240)), encode(t, sound(4))
	c := dial(t, record.Config{Tracks: both(record.VP8), Split: 2 * time.Second})
	files := 0
	c.recorder.Intercept(func(path string, f record.Storage) (record.Storage, error) {
		if files++; files > 1 {
			f.Close()
			os.Remove(path)
			return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
		}
		return f, nil
	})
	wantOver(t, c, writeUntil(c, mix(map[int][]frame{pictures: picture, tone: opus})), record.ErrDirectory, "ulimit -n")
	wantDiscovered(t, c.file(), 2*time.Second)
}

// TestDirectoryGone makes the directory again when the next file begins.
func TestDirectoryGone(t *testing.T) {
	t.Parallel()
	picture := encode(t, video(record.VP8, 4, 320, 240))
	c := dial(t, record.Config{Tracks: both(record.VP8)[:1], Split: 2 * time.Second})
	for i, m := range mix(map[int][]frame{pictures: picture}) {
		if i == fps {
			if err := os.RemoveAll(c.dir); err != nil {
				t.Fatal(err)
			}
		}
		c.write(m)
	}
	c.hangUp()
	c.want("lab-cam1-20261125T101532.mkv")
}
