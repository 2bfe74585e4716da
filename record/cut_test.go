package record_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/record"
)

const screen = 2 // a second video

// wantAll asserts that the files together hold every frame of a track, in order.
// numbers say which track it is in each file; -1 for none.
func wantAll(t *testing.T, files []string, numbers []int, want []frame) {
	t.Helper()
	var all []matroskaBlock
	for i, path := range files {
		if numbers[i] >= 0 {
			all = append(all, readMatroska(t, path).frames(numbers[i])...)
		}
	}
	wantFrames(t, all, want)
}

// wantKeyframesFirst asserts that each video of the files begins with a keyframe.
func wantKeyframesFirst(t *testing.T, files []string) {
	t.Helper()
	for _, path := range files {
		f := readMatroska(t, path)
		for track, codec := range f.codecs {
			if blocks := f.frames(track); len(blocks) > 0 && !blocks[0].keyframe {
				t.Errorf("%s: %s does not begin with a keyframe", path, codec)
			}
		}
	}
}

// TestSplit splits at keyframes; together the files hold every frame.
func TestSplit(t *testing.T) {
	t.Parallel()
	forFormats(t, func(t *testing.T, format record.Format, codec record.Codec) {
		picture, opus := encode(t, video(codec, 4, 320, 240)), encode(t, sound(4))
		c := dial(t, record.Config{Format: format, Tracks: both(codec), Split: 1500 * time.Millisecond})
		c.writeAll(mix(map[int][]frame{pictures: picture, tone: opus}))
		c.hangUp()
		c.want("lab-cam1-20261125T101530."+string(format), "lab-cam1-20261125T101532."+string(format))
		if !slices.Equal(c.asked, []int{pictures, pictures}) {
			t.Errorf("asked tracks %v for keyframes, want the picture at 1.5 s and at 3.5 s", c.asked)
		}
		var played [2]int
		for _, path := range c.files() {
			wantDiscovered(t, path, 2*time.Second)
			for i, s := range play(t, path, codec, record.Opus) {
				played[i] += s.Buffers
				if s.Start > 30*time.Millisecond {
					t.Errorf("%s: stream %d: got %v, want it from the beginning", path, i, s)
				}
			}
		}
		if played != [2]int{len(picture), len(opus)} {
			t.Errorf("got %v frames, want %d and %d", played, len(picture), len(opus))
		}
		if format == record.Matroska && codec != record.H264 {
			wantAll(t, c.files(), []int{0, 0}, picture)
			wantAll(t, c.files(), []int{1, 1}, opus)
		}
	})
}

// TestSplitLateSound has sound come later than the picture: what belongs to the
// first file still goes there.
func TestSplitLateSound(t *testing.T) {
	t.Parallel()
	picture, opus := encode(t, video(record.VP8, 4, 320, 240)), encode(t, sound(4))
	c := dial(t, record.Config{Tracks: both(record.VP8), Split: 1500 * time.Millisecond})
	const late = 200 * time.Millisecond
	for _, m := range mix(map[int][]frame{pictures: picture, tone: shift(opus, late)}) {
		c.now = wallStart.Add(m.pts)
		if m.track == tone {
			m.pts -= late
		}
		if err := c.recorder.Write(record.Frame{Track: m.track, PTS: ptsStart + m.pts, Payload: m.payload}); err != nil {
			t.Fatal(err)
		}
	}
	c.hangUp()
	files := c.files()
	wantAll(t, files, []int{0, 0}, picture)
	wantAll(t, files, []int{1, 1}, opus)
	if got := readMatroska(t, files[0]).frames(1); got[len(got)-1].at < 1970*time.Millisecond {
		t.Errorf("sound of the first file ends at %v, want 2s", got[len(got)-1].at)
	}
	if got := readMatroska(t, files[1]).frames(1); got[0].at > 20*time.Millisecond {
		t.Errorf("sound of the second file begins at %v, want 0", got[0].at)
	}
}

// TestSplitSound splits sound alone anywhere.
func TestSplitSound(t *testing.T) {
	t.Parallel()
	opus := encode(t, sound(4))
	c := dial(t, record.Config{Tracks: []record.Track{{ID: tone, Codec: record.Opus}}, Split: time.Second})
	c.writeAll(mix(map[int][]frame{tone: opus}))
	c.hangUp()
	if len(c.asked) > 0 || len(c.files()) != 4 {
		t.Errorf("got files %q, asked %v for keyframes; want four files, nothing asked", c.files(), c.asked)
	}
	wantAll(t, c.files(), []int{0, 0, 0, 0}, opus)
}

// TestSplitAsksAgain asks for a keyframe every two seconds as long as none comes,
// and goes on with the file.
func TestSplitAsksAgain(t *testing.T) {
	t.Parallel()
	picture := encode(t, "videotestsrc num-buffers=210 ! video/x-raw,width=160,height=120,framerate=30/1 ! vp8enc deadline=1 keyframe-max-dist=9999 lag-in-frames=0")
	c := dial(t, record.Config{Tracks: both(record.VP8)[:1], Split: 2 * time.Second})
	c.writeAll(mix(map[int][]frame{pictures: picture}))
	c.hangUp()
	wantAll(t, []string{c.file()}, []int{0}, picture)
	if len(c.asked) != 3 { // at 2, 4 and 6 s
		t.Errorf("asked %d times, want 3", len(c.asked))
	}
}

// TestSplitPausedPicture splits at sound while the picture pauses.
func TestSplitPausedPicture(t *testing.T) {
	t.Parallel()
	picture, opus := encode(t, video(record.VP8, 4, 320, 240)), encode(t, sound(12))
	picture = slices.Concat(between(picture, 0, time.Second), shift(between(picture, time.Second, 4*time.Second), 8*time.Second))
	c := dial(t, record.Config{Tracks: both(record.VP8), Split: 4 * time.Second})
	c.writeAll(mix(map[int][]frame{pictures: picture, tone: opus}))
	c.hangUp()
	files := c.files()
	if len(files) != 3 {
		t.Fatalf("got files %q, want three", files)
	}
	wantAll(t, files, []int{0, 0, 0}, picture)
	wantAll(t, files, []int{1, 1, 1}, opus)
	wantKeyframesFirst(t, files)
}

// TestSplitInStandstill splits while the picture pauses, which goes on without a
// keyframe: it is asked for one, and what comes before that is of no use.
func TestSplitInStandstill(t *testing.T) {
	t.Parallel()
	forFormats(t, func(t *testing.T, format record.Format, codec record.Codec) {
		picture, opus := encode(t, video(codec, 4, 320, 240)), encode(t, sound(12))
		before, after := between(picture, 0, 1500*time.Millisecond), shift(between(picture, 1500*time.Millisecond, 4*time.Second), 8*time.Second)
		c := dial(t, record.Config{Format: format, Tracks: both(codec), Split: 5 * time.Second})
		c.writeAll(mix(map[int][]frame{pictures: slices.Concat(before, after), tone: opus}))
		c.hangUp()
		files := c.files()
		if len(files) != 3 {
			t.Fatalf("got files %q, want three", files)
		}
		if !slices.Equal(c.asked, []int{pictures, pictures}) {
			t.Errorf("asked tracks %v for keyframes, want the picture at the cut and as it goes on", c.asked)
		}
		if after = between(after, 10*time.Second, 12*time.Second); !after[0].keyframe {
			t.Fatal("the test's picture has no keyframe at 2s")
		}
		held := 0
		for _, path := range files {
			held += demux(t, path, codec, record.Opus)[0].Buffers
		}
		if want := len(before) + len(after); held != want {
			t.Errorf("the files hold %d pictures, want %d", held, want)
		}
		if format == record.Matroska && codec != record.H264 {
			wantAll(t, files, []int{0, 0, 0}, slices.Concat(before, after))
			wantKeyframesFirst(t, files)
		}
	})
}

// TestPause has the picture stop for minutes and come again: there is a gap, in
// the same file.
func TestPause(t *testing.T) {
	t.Parallel()
	for _, format := range []record.Format{record.Matroska, record.MP4} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			picture, opus := encode(t, video(record.VP9, 4, 320, 240)), encode(t, sound(4))
			const pause = 3 * time.Minute
			picture = slices.Concat(between(picture, 0, 2*time.Second), shift(between(picture, 2*time.Second, 4*time.Second), pause))
			opus = slices.Concat(opus, shift(opus, pause))
			c := dial(t, record.Config{Format: format, Tracks: both(record.VP9)})
			c.writeAll(mix(map[int][]frame{pictures: picture, tone: opus}))
			c.hangUp()
			// The decoder of VP9 forgets two pictures at a gap in MP4.
			streams := demux(t, c.file(), record.VP9, record.Opus)
			wantPlayed(t, streams[0], picture)
			wantPlayed(t, streams[1], opus)
			wantDiscovered(t, c.file(), pause+4*time.Second)
		})
	}
}

// TestNeverDelivers starts after two seconds without the track that does not come.
func TestNeverDelivers(t *testing.T) {
	t.Parallel()
	picture := encode(t, video(record.VP8, 4, 320, 240))
	c := dial(t, record.Config{Tracks: both(record.VP8)})
	for _, m := range mix(map[int][]frame{pictures: picture}) {
		c.write(m)
		if m.pts < 2*time.Second {
			c.want()
		} else {
			c.want("lab-cam1-20261125T101530.mkv") // of the first frame, not of now
		}
	}
	c.hangUp()
	f := readMatroska(t, c.file())
	if !slices.Equal(f.codecs, []string{"V_VP8"}) {
		t.Errorf("got tracks %q, want VP8 alone", f.codecs)
	}
	wantFrames(t, f.frames(0), picture)
}

// TestSilence writes what waits although nothing comes any more.
func TestSilence(t *testing.T) {
	t.Parallel()
	picture := encode(t, video(record.VP8, 4, 320, 240))
	c := dial(t, record.Config{Tracks: both(record.VP8)})
	for _, m := range mix(map[int][]frame{pictures: picture[:5]}) {
		c.write(m)
	}
	c.want()
	c.now = c.now.Add(2 * time.Second)
	if err := c.recorder.Tick(); err != nil {
		t.Fatal(err)
	}
	wantFrames(t, readMatroska(t, c.file()).frames(0), picture[:5])
}

// TestShortCall hangs up before the first file has begun.
func TestShortCall(t *testing.T) {
	t.Parallel()
	picture := encode(t, video(record.VP8, 4, 320, 240))
	c := dial(t, record.Config{Tracks: both(record.VP8)})
	c.writeAll(mix(map[int][]frame{pictures: picture[:5]}))
	c.hangUp()
	wantFrames(t, readMatroska(t, c.file()).frames(0), picture[:5])
}

// TestStartsTogether waits for the slower of two tracks; both are in the one file
// from their first frame.
func TestStartsTogether(t *testing.T) {
	t.Parallel()
	picture, opus := encode(t, video(record.VP8, 4, 320, 240)), encode(t, sound(4))
	picture = shift(picture, 1500*time.Millisecond)
	c := dial(t, record.Config{Tracks: both(record.VP8)})
	c.writeAll(mix(map[int][]frame{pictures: picture, tone: opus}))
	c.hangUp()
	f := readMatroska(t, c.file())
	wantFrames(t, f.frames(0), picture)
	wantFrames(t, f.frames(1), opus)
	if got := f.frames(0)[0].at; got != 1500*time.Millisecond {
		t.Errorf("the picture begins at %v, want 1.5s", got)
	}
}

// TestWithoutKeyframe drops what nobody can decode, and asks.
func TestWithoutKeyframe(t *testing.T) {
	t.Parallel()
	picture, opus := encode(t, video(record.VP8, 4, 320, 240)), encode(t, sound(4))
	c := dial(t, record.Config{Tracks: both(record.VP8)})
	c.writeAll(mix(map[int][]frame{pictures: picture[5:], tone: opus}))
	c.hangUp()
	f := readMatroska(t, c.file())
	wantFrames(t, f.frames(0), picture[fps:])
	wantFrames(t, f.frames(1), opus)
	if !slices.Equal(c.asked, []int{pictures}) {
		t.Errorf("asked tracks %v, want the picture once", c.asked)
	}
}

// TestTrackBeginsLater has another track come in the middle of the call: a new
// file holds both, the new one from its first frame.
func TestTrackBeginsLater(t *testing.T) {
	t.Parallel()
	picture, opus := encode(t, video(record.VP8, 4, 320, 240)), encode(t, sound(4))
	tests := []struct {
		name           string
		first, second  record.Track
		early, late    []frame
		begins         time.Duration // of the second one
		names          []string
		number, joined int // of the first track in the first file, of the second in the second
	}{
		{
			"sound after picture", record.Track{ID: pictures, Codec: record.VP8}, record.Track{ID: tone, Codec: record.Opus},
			picture, opus, 2500 * time.Millisecond,
			[]string{"lab-cam1-20261125T101530.mkv", "lab-cam1-20261125T101532.mkv"}, 0, 1,
		},
		{
			"picture after sound", record.Track{ID: tone, Codec: record.Opus}, record.Track{ID: pictures, Codec: record.VP8},
			opus, picture, 2500 * time.Millisecond,
			[]string{"lab-cam1-20261125T101530.mkv", "lab-cam1-20261125T101532.mkv"}, 0, 1,
		},
		{
			"screen after camera", record.Track{ID: pictures, Codec: record.VP8}, record.Track{ID: screen, Codec: record.VP8},
			picture, picture, 2500 * time.Millisecond,
			[]string{"lab-cam1-20261125T101530.mkv", "lab-cam1-20261125T101532.mkv"}, 0, 1,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, record.Config{Tracks: []record.Track{test.first}})
			late := shift(test.late, test.begins)
			added := false
			for _, m := range mix(map[int][]frame{test.first.ID: test.early, test.second.ID: late}) {
				if !added && m.track == test.second.ID {
					added = true
					if err := c.recorder.AddTrack(test.second); err != nil {
						t.Fatal(err)
					}
				}
				c.write(m)
			}
			c.hangUp()
			c.want(test.names...)
			wantAll(t, c.files(), []int{0, 0}, test.early)
			wantAll(t, c.files(), []int{-1, 1}, late)
			wantKeyframesFirst(t, c.files())
			if test.first.Codec == record.VP8 && !slices.Contains(c.asked, test.first.ID) {
				t.Errorf("asked %v, want a keyframe of the first track", c.asked)
			}
		})
	}
}

// TestTrackBeginsWithoutKeyframe has sound begin while a picture gives no keyframe:
// it waits five seconds, not for ever, and each frame is in the file that can
// play it.
func TestTrackBeginsWithoutKeyframe(t *testing.T) {
	t.Parallel()
	picture := encode(t, "videotestsrc num-buffers=300 ! video/x-raw,width=160,height=120,framerate=30/1 ! vp8enc deadline=1 keyframe-max-dist=9999 lag-in-frames=0")
	opus := shift(encode(t, sound(8)), time.Second)
	c := dial(t, record.Config{Tracks: both(record.VP8)[:1]})
	if err := c.recorder.AddTrack(record.Track{ID: tone, Codec: record.Opus}); err != nil {
		t.Fatal(err)
	}
	c.recorder.RemoveTrack(tone) // not expected at the start
	for i, m := range mix(map[int][]frame{pictures: picture, tone: opus}) {
		if i == fps/2 {
			if err := c.recorder.AddTrack(record.Track{ID: tone, Codec: record.Opus}); err != nil {
				t.Fatal(err)
			}
		}
		c.write(m)
		if frames, _ := c.recorder.Held(); frames > 251 {
			t.Fatalf("%d frames wait at %v", frames, m.pts)
		}
	}
	c.hangUp()
	files := c.files()
	wantAll(t, files, []int{0, 0}, picture)
	wantAll(t, files, []int{-1, 1}, opus)
	wantKeyframesFirst(t, files)
	if len(c.asked) < 4 {
		t.Errorf("asked %d times for a keyframe, want every two seconds", len(c.asked))
	}
}

// TestTrackRemoved ends a track: the next file does without it.
func TestTrackRemoved(t *testing.T) {
	t.Parallel()
	picture, opus := encode(t, video(record.VP8, 4, 320, 240)), encode(t, sound(4))
	c := dial(t, record.Config{Tracks: both(record.VP8), Split: 3 * time.Second})
	short := between(picture, 0, 2*time.Second)
	removed := false
	for _, m := range mix(map[int][]frame{pictures: short, tone: opus}) {
		if m.pts >= 2*time.Second && !removed {
			c.recorder.RemoveTrack(pictures)
			removed = true
		}
		c.write(m)
	}
	c.hangUp()
	files := c.files()
	wantAll(t, files, []int{0, -1}, short)
	wantAll(t, files, []int{1, 0}, opus)
	if c.recorder.Known() != 1 {
		t.Errorf("%d tracks are remembered, want 1", c.recorder.Known())
	}
}

// TestRemovedWhileItWaits ends a track whose frames wait for a file: they are in it.
func TestRemovedWhileItWaits(t *testing.T) {
	t.Parallel()
	picture, opus := encode(t, video(record.VP8, 4, 320, 240)), encode(t, sound(4))
	c := dial(t, record.Config{Tracks: both(record.VP8)})
	c.writeAll(mix(map[int][]frame{tone: opus[:20]}))
	c.recorder.RemoveTrack(tone)
	late := shift(picture, 500*time.Millisecond)
	c.writeAll(mix(map[int][]frame{pictures: late}))
	c.hangUp()
	wantAll(t, c.files(), []int{1}, opus[:20])
	wantAll(t, c.files(), []int{0}, late)
}

// TestTwoVideos splits two videos whose keyframes come at other times: each goes
// on in the old file up to its own.
func TestTwoVideos(t *testing.T) {
	t.Parallel()
	camera, opus := encode(t, video(record.VP8, 4, 320, 240)), encode(t, sound(4))
	other := shift(camera, 400*time.Millisecond)
	c := dial(t, record.Config{
		Tracks: append(both(record.VP8), record.Track{ID: screen, Codec: record.VP8}),
		Split:  1500 * time.Millisecond,
	})
	for _, m := range mix(map[int][]frame{pictures: camera, tone: opus, screen: other}) {
		c.write(m)
		if n := c.recorder.OpenFiles(); n > 2 {
			t.Fatalf("%d files are open at %v", n, m.pts)
		}
	}
	c.hangUp()
	files := c.files()
	if len(files) != 2 {
		t.Fatalf("got files %q, want two", files)
	}
	wantAll(t, files, []int{0, 0}, camera)
	wantAll(t, files, []int{1, 1}, opus)
	wantAll(t, files, []int{2, 2}, other)
	wantKeyframesFirst(t, files)
	for _, path := range files {
		for i, s := range play(t, path, record.VP8, record.Opus, record.VP8) {
			if s.Buffers == 0 {
				t.Errorf("%s: nothing of stream %d plays", path, i)
			}
		}
	}
}

// TestOtherSize changes the size of the picture in the middle of the call: VP8 and
// VP9 say so in the stream, H.264 needs another head of the file.
func TestOtherSize(t *testing.T) {
	t.Parallel()
	forFormats(t, func(t *testing.T, format record.Format, codec record.Codec) {
		large, small := encode(t, video(codec, 4, 320, 240)), encode(t, video(codec, 4, 160, 120))
		picture, opus := slices.Concat(large, shift(small, 4*time.Second)), encode(t, sound(8))
		c := dial(t, record.Config{Format: format, Tracks: both(codec)})
		c.writeAll(mix(map[int][]frame{pictures: picture, tone: opus}))
		c.hangUp()
		files := 1
		if codec == record.H264 {
			files = 2
		}
		if len(c.files()) != files {
			t.Fatalf("got files %q, want %d", c.files(), files)
		}
		var played [2]int
		for _, path := range c.files() {
			for i, s := range play(t, path, codec, record.Opus) {
				played[i] += s.Buffers
			}
		}
		if played != [2]int{len(picture), len(opus)} {
			t.Errorf("got %v frames, want %d and %d", played, len(picture), len(opus))
		}
		if codec == record.H264 && format == record.Matroska {
			if f := readMatroska(t, c.files()[1]); f.widths[0] != 160 || f.heights[0] != 120 {
				t.Errorf("got %d x %d, want 160 x 120", f.widths[0], f.heights[0])
			}
		}
	})
}

// TestSizeChangesOften changes parameters in each keyframe: not each makes a file,
// and every frame still plays.
func TestSizeChangesOften(t *testing.T) {
	t.Parallel()
	large, small := encode(t, video(record.H264, 4, 320, 240)), encode(t, video(record.H264, 4, 160, 120))
	var picture []frame
	for second := range 4 {
		from := []([]frame){large, small}[second%2]
		picture = append(picture, between(from, time.Duration(second)*time.Second, time.Duration(second+1)*time.Second)...)
	}
	c := dial(t, record.Config{Tracks: both(record.H264)[:1]})
	c.writeAll(mix(map[int][]frame{pictures: picture}))
	c.hangUp()
	if n := len(c.files()); n != 2 {
		t.Errorf("got files %q, want two", c.files())
	}
	total := 0
	for _, path := range c.files() {
		total += play(t, path, record.H264)[0].Buffers
	}
	if total != len(picture) {
		t.Errorf("got %d pictures, want %d", total, len(picture))
	}
}

// TestSameSecond never overwrites.
func TestSameSecond(t *testing.T) {
	t.Parallel()
	opus := encode(t, sound(4))
	dir := t.TempDir()
	for range 3 {
		c := dial(t, record.Config{Directory: dir, Tracks: []record.Track{{ID: tone, Codec: record.Opus}}})
		c.dir = dir
		c.writeAll(mix(map[int][]frame{tone: opus}))
		c.hangUp()
	}
	c := &call{t: t, dir: dir}
	c.want("lab-cam1-20261125T101530-2.mkv", "lab-cam1-20261125T101530-3.mkv", "lab-cam1-20261125T101530.mkv")
}
