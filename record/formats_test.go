package record_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/mediatest"
	"github.com/gstpeer/gstpeer/record"
)

const (
	pictures = 0
	tone     = 1
)

// formats are all that can be recorded.
var formats = []struct {
	format record.Format
	codec  record.Codec
}{
	{record.Matroska, record.VP8},
	{record.Matroska, record.VP9},
	{record.Matroska, record.H264},
	{record.MP4, record.VP9},
	{record.MP4, record.H264},
}

func forFormats(t *testing.T, test func(t *testing.T, format record.Format, codec record.Codec)) {
	for _, f := range formats {
		t.Run(string(f.codec)+" in "+string(f.format), func(t *testing.T) {
			t.Parallel()
			test(t, f.format, f.codec)
		})
	}
}

func both(codec record.Codec) []record.Track {
	return []record.Track{{ID: pictures, Codec: codec}, {ID: tone, Codec: record.Opus}}
}

// TestFormats records picture and sound, and has decoders play them.
func TestFormats(t *testing.T) {
	t.Parallel()
	forFormats(t, func(t *testing.T, format record.Format, codec record.Codec) {
		picture, opus := encode(t, video(codec, 4, 320, 240)), encode(t, sound(4))
		c := dial(t, record.Config{Format: format, Tracks: both(codec)})
		c.writeAll(mix(map[int][]frame{pictures: picture, tone: opus}))
		c.hangUp()
		c.want("lab-cam1-20261125T101530." + string(format))
		streams := play(t, c.file(), codec, record.Opus)
		wantPlayed(t, streams[0], picture)
		wantPlayed(t, streams[1], opus)
		if apart := streams[0].End - streams[1].End; apart.Abs() > 60*time.Millisecond {
			t.Errorf("picture ends at %v, sound at %v", streams[0].End, streams[1].End)
		}
		wantDiscovered(t, c.file(), 4*time.Second)
	})
}

// wantPlayed asserts that a decoder gave every frame, each at its time.
func wantPlayed(t *testing.T, got played, want []frame) {
	t.Helper()
	if got.Buffers != len(want) {
		t.Fatalf("got %v, want %d", got, len(want))
	}
	for i, pts := range got.PTS {
		// A demuxer may take the delay of Opus off, and Matroska rounds.
		if apart := pts - (want[i].pts - want[0].pts); apart.Abs() > 10*time.Millisecond {
			t.Fatalf("frame %d plays at %v, want %v", i, pts, want[i].pts-want[0].pts)
		}
	}
}

// wantDiscovered asserts that a player sees at once how long a file is, and that
// it can seek.
func wantDiscovered(t *testing.T, path string, length time.Duration) {
	t.Helper()
	output, err := exec.Command("gst-discoverer-1.0", path).CombinedOutput()
	if err != nil {
		t.Fatalf("gst-discoverer-1.0: %v\n%s", err, output)
	}
	_, rest, _ := strings.Cut(string(output), "Duration: ")
	got, _, _ := strings.Cut(rest, "\n")
	if apart := mediatest.ClockTime(got) - length; apart.Abs() > 100*time.Millisecond {
		t.Errorf("got a duration of %s, want %v", got, length)
	}
	if !strings.Contains(string(output), "Seekable: yes") {
		t.Errorf("cannot seek:\n%s", output)
	}
}

// TestMatroska reads the file without the library that wrote it.
func TestMatroska(t *testing.T) {
	t.Parallel()
	picture, opus := encode(t, video(record.VP8, 4, 320, 240)), encode(t, sound(4))
	c := dial(t, record.Config{Tracks: both(record.VP8)})
	c.writeAll(mix(map[int][]frame{pictures: picture, tone: opus}))
	c.hangUp()
	f := readMatroska(t, c.file())
	if !f.closed || f.cues != 4 || f.widths[0] != 320 || f.heights[0] != 240 {
		t.Errorf("got closed %v, %d cues, %d x %d; want true, 4, 320 x 240", f.closed, f.cues, f.widths[0], f.heights[0])
	}
	if f.duration < 4*time.Second || f.duration > 4*time.Second+40*time.Millisecond {
		t.Errorf("got a duration of %v, want 4s", f.duration)
	}
	wantFrames(t, f.frames(pictures), picture)
	wantFrames(t, f.frames(tone), opus)
}

// wantFrames asserts that the payloads are in a file, each in its place.
func wantFrames(t *testing.T, got []matroskaBlock, want []frame) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d frames, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i].payload, want[i].payload) {
			t.Fatalf("frame %d has other bytes", i)
		}
		if got[i].keyframe != want[i].keyframe {
			t.Errorf("frame %d: got keyframe %v, want %v", i, got[i].keyframe, want[i].keyframe)
		}
	}
}

// TestSoundAlone records a call without pictures.
func TestSoundAlone(t *testing.T) {
	t.Parallel()
	for _, format := range []record.Format{record.Matroska, record.MP4} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			opus := encode(t, sound(12))
			c := dial(t, record.Config{Format: format, Tracks: []record.Track{{ID: tone, Codec: record.Opus}}})
			c.writeAll(mix(map[int][]frame{tone: opus}))
			c.hangUp()
			wantPlayed(t, play(t, c.file(), record.Opus)[0], opus)
			wantDiscovered(t, c.file(), 12*time.Second)
		})
	}
}

// TestOpusPackets records every kind of packet that a browser may send.
func TestOpusPackets(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"frame-size=2", "frame-size=10", "frame-size=60", "frame-size=20 dtx=true", "frame-size=40 bitrate=12000"} {
		for channels, name := range map[string]string{"1": "mono", "2": "stereo"} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				opus := encode(t, "audiotestsrc num-buffers=100 samplesperbuffer=960 ! audio/x-raw,rate=48000,channels="+channels+" ! opusenc "+kind)
				c := dial(t, record.Config{Tracks: []record.Track{{ID: tone, Codec: record.Opus}}})
				c.writeAll(mix(map[int][]frame{tone: opus}))
				c.hangUp()
				wantPlayed(t, demux(t, c.file(), record.Opus)[0], opus)
				// A decoder leaves out what is before the encoder's delay.
				if got := play(t, c.file(), record.Opus)[0]; got.Buffers < len(opus)-10 {
					t.Errorf("got %v, want %d", got, len(opus))
				}
			})
		}
	}
}

// TestKilled plays what is in the file while the call goes on: nothing more may
// happen to it, as when the process is killed.
func TestKilled(t *testing.T) {
	t.Parallel()
	forFormats(t, func(t *testing.T, format record.Format, codec record.Codec) {
		picture, opus := encode(t, video(codec, 4, 320, 240)), encode(t, sound(4))
		c := dial(t, record.Config{Format: format, Tracks: both(codec)})
		c.writeAll(mix(map[int][]frame{pictures: picture, tone: opus}))
		late := time.Duration(0)
		if format == record.MP4 {
			late = time.Second
		}
		streams := play(t, c.file(), codec, record.Opus)
		for i, s := range streams {
			if s.End < 4*time.Second-late-50*time.Millisecond {
				t.Errorf("stream %d plays %v, want all but the last %v", i, s, late)
			}
		}
		c.now = c.now.Add(time.Second)
		if err := c.recorder.Tick(); err != nil {
			t.Fatal(err)
		}
		streams = play(t, c.file(), codec, record.Opus)
		wantPlayed(t, streams[0], picture)
		wantPlayed(t, streams[1], opus)
	})
}

// TestCutOff plays files that end anywhere.
func TestCutOff(t *testing.T) {
	t.Parallel()
	forFormats(t, func(t *testing.T, format record.Format, codec record.Codec) {
		picture, opus := encode(t, video(codec, 4, 320, 240)), encode(t, sound(4))
		c := dial(t, record.Config{Format: format, Tracks: both(codec)})
		c.writeAll(mix(map[int][]frame{pictures: picture, tone: opus}))
		whole, err := os.ReadFile(c.file()) // not closed
		if err != nil {
			t.Fatal(err)
		}
		all := play(t, c.file(), codec, record.Opus)[0].Buffers
		for _, part := range []int{3, 5, 7, 9} {
			size := len(whole)*part/10 + part
			path := filepath.Join(t.TempDir(), "cut."+string(format))
			if err := os.WriteFile(path, whole[:size], 0o644); err != nil {
				t.Fatal(err)
			}
			got := play(t, path, codec, record.Opus)[0].Buffers
			least := all*part/10 - fps/2 // sizes of frames differ
			if format == record.MP4 {
				least -= fps
			}
			if got < least {
				t.Errorf("%d tenths of the file play %d pictures, want %d", part, got, least)
			}
		}
	})
}

// TestEveryCutOff reads files that end at any byte: each has all that was whole.
func TestEveryCutOff(t *testing.T) {
	t.Parallel()
	all := mix(map[int][]frame{pictures: encode(t, video(record.VP8, 4, 160, 120))[:15], tone: encode(t, sound(4))[:25]})
	c := dial(t, record.Config{Tracks: both(record.VP8)})
	var sizes []int64 // of the file after each frame but the first, which waits for the second
	for _, m := range all {
		c.write(m)
		if info, err := os.Stat(filepath.Join(c.dir, "lab-cam1-20261125T101530.mkv")); err == nil {
			sizes = append(sizes, info.Size())
		}
	}
	whole, err := os.ReadFile(c.file())
	if err != nil {
		t.Fatal(err)
	}
	for size := int(sizes[0]); size <= len(whole); size++ {
		f, err := parseMatroska(whole[:size])
		if err != nil {
			t.Fatalf("%d of %d bytes: %v", size, len(whole), err)
		}
		want := 1
		for _, after := range sizes {
			if after <= int64(size) {
				want++
			}
		}
		if len(f.blocks) != want {
			t.Fatalf("%d of %d bytes: got %d frames, want %d", size, len(whole), len(f.blocks), want)
		}
	}
}
