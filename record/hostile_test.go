package record_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"github.com/gstpeer/gstpeer/record"
)

// TestHostilePayloads mixes frames that are none into a call: the others play.
func TestHostilePayloads(t *testing.T) {
	t.Parallel()
	huge := make([]byte, 50<<20)
	garbage := map[record.Codec][][]byte{
		record.VP8:  {{1, 2}, {0}, make([]byte, 300), []byte("\x00\x00\x00\x9d\x01\x2a\x00\x00\x00\x00")},
		record.VP9:  {{0}, make([]byte, 300), []byte("\x82\x49\x83\x43\x00\x00\x00\x00\x00")},
		record.H264: {{0}, {0, 0, 1}, make([]byte, 300), []byte("\x65\x88\x84"), bytes.Repeat([]byte{0, 0, 1}, 1<<20)},
		record.Opus: {{0xff, 0}, {0xff}, {0xff, 63}},
	}
	forFormats(t, func(t *testing.T, format record.Format, codec record.Codec) {
		picture, opus := encode(t, video(codec, 4, 320, 240)), encode(t, sound(4))
		c := dial(t, record.Config{Format: format, Tracks: both(codec)})
		for _, m := range mix(map[int][]frame{pictures: picture, tone: opus}) {
			of := garbage[codec]
			if m.track == tone {
				of = garbage[record.Opus]
			}
			for _, payload := range append([][]byte{nil, {}, huge}, of...) {
				c.write(media{m.track, frame{pts: m.pts, payload: payload}})
			}
			c.write(m)
		}
		c.hangUp()
		streams := play(t, c.file(), codec, record.Opus)
		wantPlayed(t, streams[0], picture)
		wantPlayed(t, streams[1], opus)
	})
}

// TestCorrupted flips bits of every frame: players bear what is in the file.
func TestCorrupted(t *testing.T) {
	t.Parallel()
	forFormats(t, func(t *testing.T, format record.Format, codec record.Codec) {
		c := dial(t, record.Config{Format: format, Tracks: both(codec), Split: time.Second})
		random := rand.New(rand.NewPCG(3, 4))
		for _, m := range mix(map[int][]frame{pictures: encode(t, video(codec, 4, 320, 240)), tone: encode(t, sound(4))}) {
			m.payload = bytes.Clone(m.payload)
			if random.IntN(2) == 0 {
				m.payload[random.IntN(len(m.payload))] ^= 1 << random.IntN(8)
			}
			c.write(m)
		}
		c.hangUp()
		for _, path := range c.files() {
			check(t, path)
		}
	})
}

// check asserts that a file is whole.
func check(t testing.TB, path string) {
	t.Helper()
	if strings.HasSuffix(path, ".mkv") {
		readMatroska(t, path)
		return
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var head fmp4.Init
	if err := head.Unmarshal(bytes.NewReader(b)); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(b); err != nil {
		t.Errorf("%s: %v", path, err)
	}
}

// TestEveryFrameAKeyframe writes ten minutes of them: cues stay few.
func TestEveryFrameAKeyframe(t *testing.T) {
	t.Parallel()
	key := encode(t, video(record.VP8, 4, 320, 240))[0]
	c := dial(t, record.Config{Tracks: both(record.VP8)[:1]})
	for i := range 600 * fps {
		c.write(media{pictures, frame{pts: time.Duration(i) * time.Second / fps, payload: key.payload}})
	}
	c.hangUp()
	if f := readMatroska(t, c.file()); f.cues > 600 || f.cues < 300 {
		t.Errorf("got %d cues, want one a second at most", f.cues)
	}
}

// TestLongCall records two days of sparse sound in a moment: cues are bounded, and
// right.
func TestLongCall(t *testing.T) {
	t.Parallel()
	c := dial(t, record.Config{Tracks: []record.Track{{ID: tone, Codec: record.Opus}}})
	const packets = 48 * 3600 / 5
	for i := range packets {
		c.write(media{tone, frame{pts: time.Duration(i) * 5 * time.Second, payload: []byte{0xfc, byte(i)}}})
	}
	c.hangUp()
	f := readMatroska(t, c.file())
	if f.cues > 8192 || f.cues < 4096 || len(f.blocks) != packets {
		t.Errorf("got %d cues and %d packets, want 4096 to 8192 and %d", f.cues, len(f.blocks), packets)
	}
}

// TestHeldFramesAreBounded sends a lot before a file can begin.
func TestHeldFramesAreBounded(t *testing.T) {
	t.Parallel()
	c := dial(t, record.Config{Tracks: both(record.VP8)})
	payload := bytes.Clone(encode(t, video(record.VP8, 4, 320, 240))[0].payload)
	payload = append(payload, make([]byte, 1<<20)...)
	for i := range 100 {
		c.write(media{pictures, frame{pts: time.Duration(i), payload: payload}})
		if _, bytes := c.recorder.Held(); bytes > 17<<20 {
			t.Fatalf("%d bytes wait", bytes)
		}
	}
	c.hangUp()
	if f := readMatroska(t, c.file()); len(f.blocks) != 100 {
		t.Errorf("got %d pictures, want 100", len(f.blocks))
	}
}

// TestMemory records a hundred megabytes, and keeps no more than a fragment of them.
func TestMemory(t *testing.T) {
	for _, format := range []record.Format{record.Matroska, record.MP4} {
		c := dial(t, record.Config{Format: format, Tracks: both(record.VP9)[:1]})
		picture := encode(t, video(record.VP9, 4, 320, 240))[0].payload
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range 100 {
			payload := append(bytes.Clone(picture), make([]byte, 1<<20)...)
			c.write(media{pictures, frame{pts: time.Duration(i) * time.Second / fps, payload: payload}})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 40<<20 {
			t.Errorf("%s: the heap grew by %d MiB", format, grown>>20)
		}
		c.hangUp()
	}
}

// FuzzRecorder records any frames of any tracks at any times, with tracks that
// come and go. Nothing panics, every file is whole, and frames that have a number
// come out in that order.
func FuzzRecorder(f *testing.F) {
	keys := map[record.Codec][]byte{
		record.VP8:  []byte("\x10\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00"),
		record.VP9:  []byte("\x82\x49\x83\x42\x00\x13\xf0\x0e\xf0\x00"),
		record.H264: []byte("\x00\x00\x00\x01\x67\x42\xc0\x0d\xda\x05\x07\xec\x05\xa8\x30\x30\x35\x28\x00\x00\x03\x00\x08\x00\x00\x03\x00\x80\x1e\x47\x8a\x15\x50\x00\x00\x01\x68\xce\x3c\x80\x00\x00\x01\x65\x88\x84"),
		record.Opus: []byte("\xfc"),
	}
	codecs := []record.Codec{record.VP8, record.VP9, record.H264, record.Opus}
	f.Add(false, byte(0), []byte("\x00\x00\x13\x00\x30\x01\x23\x02"))
	f.Add(true, byte(1), []byte("\x10\x00\x30\x30\x14\x25\x36\x47\x58\x69\x7a\x8b\x9c\xad\xbe\xcf"))
	f.Add(false, byte(3), bytes.Repeat([]byte("\x00\x02\x10\x04\x20\x06\x30\x08"), 20))
	f.Add(false, byte(2), bytes.Repeat([]byte("\x00\x0e\x05\x02\x30\x03\x06\x00"), 20))
	f.Fuzz(func(t *testing.T, isMP4 bool, split byte, script []byte) {
		format, first := record.Matroska, 0
		if isMP4 {
			format, first = record.MP4, 1
		}
		c := dial(t, record.Config{Format: format, Split: time.Duration(split%4) * time.Second, Tracks: []record.Track{{ID: 3, Codec: record.Opus}}})
		for i, codec := range codecs[first:] {
			_ = c.recorder.AddTrack(record.Track{ID: i + first, Codec: codec})
		}
		pts := time.Duration(0)
		for i := 0; i+1 < len(script) && i < 400; i += 2 {
			track, action, size := int(script[i]>>4&3), script[i]&15, script[i+1]
			codec := codecs[track]
			switch {
			case action == 14:
				c.recorder.RemoveTrack(track)
				continue
			case action == 15:
				_ = c.recorder.AddTrack(record.Track{ID: track, Codec: codecs[max(first, int(size)%4)]})
				continue
			}
			c.now = c.now.Add(time.Duration(size) * 20 * time.Millisecond)
			pts += []time.Duration{20, 20, 33, 100, 1000, -50, -5000, 3 * 3600 * 1000, -3 * 3600 * 1000, 0, 20, 20, 20, 20}[action] * time.Millisecond
			payload := append(bytes.Clone(keys[codec]), script[i:min(len(script), i+int(size))]...)
			if action%3 == 1 {
				payload[0] |= 1 // no keyframe of VP8
			}
			if action%5 == 3 {
				payload = payload[:int(size)%len(payload)]
			}
			if err := c.recorder.Write(record.Frame{Track: track, PTS: pts, Payload: payload}); err != nil && c.recorder.OpenFiles() == 0 && c.recorder.Close() != nil {
				t.Fatal(err)
			}
			if n := c.recorder.OpenFiles(); n > 5 {
				t.Fatalf("%d files are open", n)
			}
		}
		if err := c.recorder.Close(); err != nil {
			t.Fatal(err)
		}
		for _, path := range c.files() {
			check(t, path)
		}
	})
}

// TestRealKill ends a process that records, by the signal that nobody can handle.
func TestRealKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	command := program(t, asEndless, dir)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "noise-20261125T101530.mkv")
	deadline := time.Now().Add(20 * time.Second)
	for size := int64(0); size < 1<<20; {
		if info, err := os.Stat(path); err == nil {
			size = info.Size()
		}
		if time.Now().After(deadline) {
			t.Error("the file does not grow")
			break
		}
		runtime.Gosched()
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	if f := readMatroska(t, path); f.closed || len(f.blocks) < 1000 {
		t.Errorf("got %d packets, closed %v; want 1000 or more, not closed", len(f.blocks), f.closed)
	}
}
