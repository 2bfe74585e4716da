package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

func mustParseSink(t *testing.T, text string) Sink {
	t.Helper()
	s, err := ParseSink(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// awaitSize waits until a file has so many bytes.
func awaitSize(t *testing.T, path string, bytes int64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		stat, err := os.Stat(path)
		if err == nil && stat.Size() >= bytes {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v, %v; want %d bytes", path, stat, err, bytes)
		}
	}
}

// TestSinkGetsDecodedMedia hands what remotes send to fragments that write raw
// media to files: of pictures and sound, of each alone, with each codec.
func TestSinkGetsDecodedMedia(t *testing.T) {
	const (
		pictures = 10 * (32*32 + 2*16*16) // 10 of 32×32 in I420
		sound    = 48000 / 5 * 4          // 0.2 s
	)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	scaled := "videoconvert ! videoscale ! video/x-raw,format=I420,width=32,height=32 ! filesink buffer-mode=unbuffered location=%s"
	raw := "audioconvert ! audioresample ! audio/x-raw,format=S16LE,channels=2,rate=48000 ! filesink buffer-mode=unbuffered location=%s"
	for _, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeH264, webrtc.MimeTypeVP9} {
		name := strings.TrimPrefix(mime, "video/")
		t.Run(name, func(t *testing.T) {
			p, board := openTest(t, func(c *Config) {
				c.Receive = true
				c.Sinks = []Sink{
					mustParseSink(t, fmt.Sprintf("launch:video. ! "+scaled+" audio. ! "+raw, file(name+"-video"), file(name+"-audio"))),
					mustParseSink(t, fmt.Sprintf("launch:"+scaled, file(name+"-alone"))),
					mustParseSink(t, fmt.Sprintf("launch:audio. ! "+raw, file(name+"-sound"))),
				}
			})
			codec := map[string]*Codec{webrtc.MimeTypeVP8: VP8, webrtc.MimeTypeH264: H264, webrtc.MimeTypeVP9: VP9}[mime]
			r := newRemote(t, board, p, "sender", mime, webrtc.MimeTypeOpus)
			stopVideo := r.sending(mime, p.tracks[codec])
			stopAudio := r.sending(webrtc.MimeTypeOpus, p.tracks[Opus])
			r.offer()
			awaitSize(t, file(name+"-video"), pictures)
			awaitSize(t, file(name+"-alone"), pictures)
			awaitSize(t, file(name+"-audio"), sound)
			awaitSize(t, file(name+"-sound"), sound)
			stopVideo()
			stopAudio()
			r.close()
			p.Remove("sender")
			awaitNobody(t, p)
		})
	}
}

// TestSinkFails: a sink that fails says why, and ends no call.
func TestSinkFails(t *testing.T) {
	var log logged
	p, board := openTest(t, func(c *Config) {
		c.Receive = true
		c.Log = log.logger()
		c.Sinks = []Sink{mustParseSink(t, "launch:videoconvert ! filesink location=/nowhere/at/all")}
	})
	r := newRemote(t, board, p, "sender")
	stop := r.sending(webrtc.MimeTypeVP8, p.tracks[VP8])
	r.offer()
	track := r.awaitTrack()
	log.await(t, "playing ended, the call goes on", "/nowhere/at/all")
	track.awaitMore(t, 30)
	if p.Peers() != 1 {
		t.Error("the peer has ended")
	}
	stop()
	r.close()
}

func TestParseSink(t *testing.T) {
	for _, text := range []string{"", "launch:", "launch: ", "fakesink", "launch:nosuchelement", "launch:video. ! ! fakesink"} {
		if _, err := ParseSink(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
