package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/internal/mediatest"
	"github.com/gstpeer/gstpeer/record"
)

// recorded lists the files of a remote, and waits until the first has some content.
func recorded(t *testing.T, dir, uid string, bytes int64) []string {
	t.Helper()
	var files []string
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		files, _ = filepath.Glob(filepath.Join(dir, "lab-"+uid+"-*"))
		if len(files) > 0 {
			awaitSize(t, files[0], bytes)
			return files
		}
		if time.Now().After(deadline) {
			t.Fatalf("no recording of %s", uid)
		}
	}
}

// send has a remote send picture and sound; stop ends that.
func (r *remote) send(p *Pipeline, mime string, codec *Codec) (stop func()) {
	stopVideo, stopAudio := r.sending(mime, p.tracks[codec]), r.sending(webrtc.MimeTypeOpus, p.tracks[Opus])
	return func() {
		stopVideo()
		stopAudio()
	}
}

// framesIn is how many frames of a kind have come in.
func framesIn(kind Kind, reports ...PeerReport) (frames uint64) {
	for _, r := range reports {
		for _, s := range r.Streams {
			if s.Kind == kind && !s.Sent {
				frames += s.Frames
			}
		}
	}
	return frames
}

// awaitQuiet waits until nothing comes in any more of what was on its way.
func awaitQuiet(p *Pipeline) {
	for before, now := uint64(0), uint64(1); now > before; time.Sleep(2 * DefaultLatency) {
		reports := p.Reports()
		before, now = now, framesIn(Video, reports...)+framesIn(Audio, reports...)
	}
}

// mostUneven is up to where the times of sending tell when a recording has to end.
const mostUneven = 500 * time.Millisecond

// TestRecord writes what remotes send, in each form that the files can have.
func TestRecord(t *testing.T) {
	for _, test := range []struct {
		format record.Format
		mime   string
		codec  *Codec
	}{
		{record.Matroska, webrtc.MimeTypeVP8, VP8},
		{record.Matroska, webrtc.MimeTypeH264, H264},
		{record.MP4, webrtc.MimeTypeH264, H264},
		{record.MP4, webrtc.MimeTypeVP9, VP9},
	} {
		t.Run(string(test.format)+" "+test.codec.Name, func(t *testing.T) {
			dir := t.TempDir()
			p, board := openTest(t, func(c *Config) {
				c.Receive = true
				c.Record = Recording{Directory: dir, Room: "lab", Format: test.format}
			})
			r := newRemote(t, board, p, "sender", test.mime, webrtc.MimeTypeOpus)
			stop := r.send(p, test.mime, test.codec)
			r.offer()
			files := recorded(t, dir, "sender", 1)
			awaitReport(t, p, func(r PeerReport) bool { return framesIn(Video, r) >= 90 && framesIn(Audio, r) >= 150 })
			stop()
			awaitQuiet(p)
			p.Remove("sender")
			awaitNobody(t, p)
			r.close()
			picture := mediatest.Pass(t, files[0], "video_0", "decodebin")
			sound := mediatest.Pass(t, files[0], "audio_0", "decodebin")
			t.Logf("picture %v, sound %v, sent unevenly by %v and %v", picture, sound, r.sent[Video].uneven(), r.sent[Audio].uneven())
			if picture.Buffers < 30 || sound.Buffers < 50 {
				t.Errorf("picture %v, sound %v: too little", picture, sound)
			}
			// Where the machine is busy its encoders are late, now more and now less, and
			// not by the same time.
			uneven := r.sent[Video].uneven() + r.sent[Audio].uneven()
			if uneven > mostUneven {
				t.Logf("not compared: how far apart picture and sound end, which were sent unevenly by %v together", uneven)
				return
			}
			sent := r.sent[Video].last.Sub(r.sent[Audio].last)
			allowed := 50*time.Millisecond + picture.LastPause() + sound.LastPause() + uneven
			if apart := (picture.End - sound.End - sent).Abs(); apart > allowed {
				t.Errorf("picture and sound end %v apart, and were sent %v apart, want them within %v", picture.End-sound.End, sent, allowed)
			}
		})
	}
}

// TestRecordSplits begins files at keyframes that it asks the remote for.
func TestRecordSplits(t *testing.T) {
	dir := t.TempDir()
	p, board := openTest(t, func(c *Config) {
		c.Receive = true
		c.Record = Recording{Directory: dir, Room: "lab", Split: 2 * time.Second}
	})
	r := newRemote(t, board, p, "sender")
	stop := r.send(p, webrtc.MimeTypeVP8, VP8)
	r.offer()
	for deadline := time.Now().Add(30 * time.Second); len(recorded(t, dir, "sender", 1)) < 3; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("fewer than 3 files after 30 s")
		}
	}
	p.Remove("sender")
	awaitNobody(t, p)
	stop()
	r.close()
	second := recorded(t, dir, "sender", 1)[1]
	if picture := mediatest.Pass(t, second, "video_0", "vp8dec"); picture.Buffers < 20 || picture.Start > 100*time.Millisecond {
		t.Errorf("the second file does not begin with a picture: %v", picture)
	}
}

// TestRecordOtherTrackComes: of a track that goes on each frame is recorded once
// while another one comes and goes, be the latest keyframe young or old.
func TestRecordOtherTrackComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		video, sound := newTrack(VP8, &fakeEncoder{}), newTrack(Opus, &fakeEncoder{})
		r := newRecording(Recording{Directory: dir, Room: "lab"}, "sender", slog.New(slog.DiscardHandler))
		var want []string
		for _, tracks := range [][]*Track{{video}, {video, sound}, {video}, {video, sound}, {}} {
			r.take(tracks)
			synctest.Wait()
			for range 10 {
				at := time.Duration(len(want)) * frameTime
				want = append(want, fmt.Sprintf("frame %03d", len(want)))
				video.publish(vp8Frame(want[len(want)-1], at, at == 0))
				sound.publish(Frame{Payload: []byte{0xfc, 0, 0}, PTS: at, Keyframe: true})
				time.Sleep(frameTime)
			}
		}
		r.close()
		video.close()
		sound.close()
		var got []string
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, regexp.MustCompile(`frame \d{3}`).FindAllString(string(content), -1)...)
		}
		if want = want[:len(want)-10]; !slices.Equal(got, want) {
			t.Errorf("recorded %q, want %q", got, want)
		}
	})
}

// vp8Frame has the header of a frame of 320x240 (RFC 6386, 9.1), and a text.
func vp8Frame(text string, at time.Duration, keyframe bool) Frame {
	header := []byte{0x11, 0, 0}
	if keyframe {
		header = []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 1, 0xf0, 0}
	}
	return Frame{Payload: append(header, text...), PTS: at, Keyframe: keyframe}
}

// TestRecordSoundWithoutPicture: what the format has no place for is left out, and
// the rest recorded.
func TestRecordSoundWithoutPicture(t *testing.T) {
	dir := t.TempDir()
	p, board := openTest(t, func(c *Config) {
		c.Receive = true
		c.Record = Recording{Directory: dir, Room: "lab", Format: record.MP4}
	})
	r := newRemote(t, board, p, "sender")
	stop := r.send(p, webrtc.MimeTypeVP8, VP8)
	r.offer()
	files := recorded(t, dir, "sender", 5000)
	if p.Peers() != 1 {
		t.Error("the peer has ended")
	}
	p.Remove("sender")
	awaitNobody(t, p)
	stop()
	r.close()
	if sound := mediatest.Pass(t, files[0], "audio_0", "decodebin"); sound.Buffers < 20 {
		t.Errorf("sound %v: too little", sound)
	}
}

// TestRecordFails: nothing that a disk does ends a call.
func TestRecordFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "recordings")
	for name, test := range map[string]struct {
		config Recording
		breaks func(*testing.T) // while it records
	}{
		"no such directory": {Recording{Directory: "/proc/nowhere", Room: "lab"}, func(*testing.T) {}},
		"a file takes the directory's place": {Recording{Directory: dir, Room: "lab", Split: time.Second}, func(t *testing.T) {
			recorded(t, dir, "sender", 1)
			if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var said logged
			p, board := openTest(t, func(c *Config) { c.Receive, c.Record, c.Log = true, test.config, said.logger() })
			r := newRemote(t, board, p, "sender")
			stop := r.send(p, webrtc.MimeTypeVP8, VP8)
			r.offer()
			tracks := []*receivedTrack{r.awaitTrack(), r.awaitTrack()}
			test.breaks(t)
			const ended = "recording ended, the call goes on"
			for deadline := time.Now().Add(20 * time.Second); said.count(ended) == 0; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("20 s later there is no error:\n%s", &said)
				}
			}
			for _, track := range tracks {
				track.awaitMore(t, 60)
			}
			if p.Peers() != 1 {
				t.Error("the peer has ended")
			}
			if n := said.count(ended); n != 1 {
				t.Errorf("%d errors, want one:\n%s", n, &said)
			}
			stop()
			r.close()
		})
	}
}

// TestRecordTellsOfLostFrames: a disk that stands still is said to have cost
// frames, and how many.
func TestRecordTellsOfLostFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, goOn := t.TempDir(), make(chan struct{})
		var said logged
		stalling := writerFunc(func(line []byte) (int, error) {
			if bytes.Contains(line, []byte("msg=recording ")) {
				<-goOn
			}
			return said.Write(line)
		})
		video := newTrack(VP8, &fakeEncoder{})
		r := newRecording(Recording{Directory: dir, Room: "lab"}, "sender", slog.New(slog.NewTextHandler(stalling, nil)))
		r.take([]*Track{video})
		synctest.Wait()
		published := 0
		for range maxQueuedFrames + 50 {
			video.publish(vp8Frame("frame", time.Duration(published)*frameTime, published == 0))
			published++
			synctest.Wait()
		}
		close(goOn)
		video.publish(vp8Frame("frame", time.Duration(published)*frameTime, true))
		published++
		time.Sleep(2 * tickInterval)
		video.close()
		r.close()
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		content, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		lost := published - bytes.Count(content, []byte("frame"))
		if lost == 0 || said.count(fmt.Sprintf("frames=%d\n", lost)) != 1 {
			t.Errorf("%d of %d frames were lost:\n%s", lost, published, &said)
		}
	})
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

// resident is the memory that the process occupies, in bytes.
func resident(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(string(bytes.Fields(status)[1]))
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// sendersVisit lets remotes that send come, be recorded, and go, a few at a time.
func sendersVisit(t *testing.T, p *Pipeline, board *switchboard, dir, round string, n int) {
	t.Helper()
	var visits sync.WaitGroup
	places := make(chan struct{}, 4)
	for i := range n {
		places <- struct{}{}
		visits.Go(func() {
			defer func() { <-places }()
			uid := fmt.Sprint(round, i)
			r := newRemote(t, board, p, uid)
			stop := r.send(p, webrtc.MimeTypeVP8, VP8)
			if i%2 == 0 {
				r.offer()
			} else {
				p.Offer(uid)
			}
			for _, file := range recorded(t, dir, uid, 5000) {
				_ = os.Remove(file)
			}
			p.Remove(uid)
			stop()
			r.close()
		})
	}
	visits.Wait()
}

// TestSendersComeAndGo: recording what hundreds of remotes send leaves nothing
// behind.
func TestSendersComeAndGo(t *testing.T) {
	rounds, visits := 3, 10
	if os.Getenv("GSTPEER_LONG") != "" {
		visits = 100
	}
	dir := t.TempDir()
	p, board := openTest(t, func(c *Config) {
		c.Receive = true
		c.Record = Recording{Directory: dir, Room: "lab"}
	})
	stays := newRemote(t, board, p, "stays")
	defer stays.close()
	stays.offer(webrtc.RTPCodecTypeVideo)
	track := stays.awaitTrack()
	track.awaitFrames(t, 30)
	before := currentHoldings(t)
	var memory []int
	for round := range rounds {
		sendersVisit(t, p, board, dir, fmt.Sprint("round", round, "visit"), visits)
		awaitAlone(t, p)
		awaitHoldings(t, before)
		memory = append(memory, resident(t))
	}
	for i, bytes := range memory {
		t.Logf("after %d joins: %.1f MiB", (i+1)*visits, float64(bytes)/(1<<20))
	}
	if grown := memory[rounds-1] - memory[0]; visits == 100 && float64(grown) > memoryTolerance*float64(memory[0]) {
		t.Errorf("resident memory has grown by %.1f MiB from join 100 to join 300", float64(grown)/(1<<20))
	}
	if gaps := track.snapshot().gaps; gaps != 0 {
		t.Errorf("the viewer who stayed misses %d packets", gaps)
	}
}
