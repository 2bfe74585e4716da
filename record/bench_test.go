package record_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/record"
)

// The frames of a call of 2 Mbit/s: pictures of 8 kB with sound of 160 bytes.
func benchFrames() (picture, opus []byte) {
	picture = make([]byte, 8<<10)
	copy(picture, "\x82\x49\x83\x42\x00\x13\xf0\x0e\xf0")
	return picture, append([]byte{0xfc}, make([]byte, 159)...)
}

// benchRounds is after how many rounds a file has 256 MB and another one begins.
const benchRounds = 30 << 10

// BenchmarkPlainWrite is what the others are compared with: the same bytes, a
// system call for each frame.
func BenchmarkPlainWrite(b *testing.B) {
	picture, opus := benchFrames()
	path := filepath.Join(b.TempDir(), "plain")
	b.SetBytes(int64(len(picture) + len(opus)))
	var file *os.File
	for i := 0; b.Loop(); i++ {
		if i%benchRounds == 0 {
			b.StopTimer()
			os.Remove(path)
			file.Close()
			var err error
			if file, err = os.Create(path); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		for _, payload := range [][]byte{picture, opus} {
			if _, err := file.Write(payload); err != nil {
				b.Fatal(err)
			}
		}
	}
	file.Close()
}

// BenchmarkWrite records a picture and a packet of sound.
func BenchmarkWrite(b *testing.B) {
	for _, format := range []record.Format{record.Matroska, record.MP4} {
		b.Run(string(format), func(b *testing.B) {
			key, opus := benchFrames()
			picture := append([]byte{0x86}, key[1:]...) // no keyframe
			now, dir := wallStart, b.TempDir()
			pts := time.Duration(0)
			var r *record.Recorder
			b.SetBytes(int64(len(picture) + len(opus)))
			for i := 0; b.Loop(); i++ {
				if i%benchRounds == 0 {
					b.StopTimer()
					r = reopen(b, r, record.Config{
						Directory: dir, Format: format, UID: "bench", Now: func() time.Time { return now },
						Tracks: both(record.VP9),
					})
					b.StartTimer()
				}
				payload := picture
				if i%300 == 0 {
					payload = key
				}
				pts += time.Second / fps
				now = wallStart.Add(pts)
				for track, payload := range [][]byte{payload, opus} {
					if err := r.Write(record.Frame{Track: track, PTS: pts, Payload: payload}); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.StopTimer()
			if err := r.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// reopen begins another recording in an empty directory.
func reopen(b *testing.B, r *record.Recorder, config record.Config) *record.Recorder {
	b.Helper()
	if r != nil {
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.RemoveAll(config.Directory); err != nil {
		b.Fatal(err)
	}
	r, err := record.Open(config)
	if err != nil {
		b.Fatal(err)
	}
	return r
}
