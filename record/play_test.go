package record_test

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/record"
)

// played is what GStreamer's demuxer and decoders make of a stream in a file.
type played struct {
	start, end time.Duration
	buffers    int
	pts        []time.Duration
}

var decoders = map[record.Codec]string{
	record.VP8:  "vp8dec",
	record.VP9:  "vp9dec",
	record.H264: "h264parse ! avdec_h264",
	record.Opus: "opusdec",
}

var chained = regexp.MustCompile(`chain .* pts: ([0-9:.]+|none), duration: ([0-9:.]+|none)`)

// play decodes the streams of a file, which are of these codecs in that order.
func play(t testing.TB, path string, codecs ...record.Codec) []played {
	t.Helper()
	return run(t, path, codecs, func(c record.Codec) string { return decoders[c] })
}

// demux gives the frames of a file, not decoded.
func demux(t testing.TB, path string, codecs ...record.Codec) []played {
	t.Helper()
	return run(t, path, codecs, func(record.Codec) string { return "identity silent=true" })
}

func run(t testing.TB, path string, codecs []record.Codec, then func(record.Codec) string) []played {
	t.Helper()
	streams := make([]played, len(codecs))
	var pictures, sounds int
	for i, c := range codecs {
		pad := fmt.Sprintf("audio_%d", sounds)
		if c != record.Opus {
			pad = fmt.Sprintf("video_%d", pictures)
			pictures++
		} else {
			sounds++
		}
		streams[i] = runPad(t, path, pad, then(c))
	}
	return streams
}

func runPad(t testing.TB, path, pad, then string) (p played) {
	t.Helper()
	demuxer := "matroskademux"
	if strings.HasSuffix(path, ".mp4") {
		demuxer = "qtdemux"
	}
	launch := fmt.Sprintf("filesrc location=%s ! %s name=demux demux.%s ! %s ! fakesink silent=false sync=false", path, demuxer, pad, then)
	output, err := exec.Command("gst-launch-1.0", append([]string{"-v"}, strings.Fields(launch)...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("gst-launch-1.0 %s: %v\n%s", launch, err, tail(output))
	}
	for _, m := range chained.FindAllSubmatch(output, -1) {
		p.add(clockTime(string(m[1])), clockTime(string(m[2])))
	}
	return p
}

func (p *played) add(pts, duration time.Duration) {
	if p.buffers == 0 {
		p.start = pts
	}
	p.buffers++
	p.end = max(p.end, pts+max(duration, 0))
	p.pts = append(p.pts, pts)
}

func (p played) String() string {
	return fmt.Sprintf("%d buffers from %v to %v", p.buffers, p.start, p.end)
}

// clockTime reads GStreamer's form of a time, -1 for none.
func clockTime(text string) time.Duration {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return -1
	}
	hours, _ := strconv.Atoi(parts[0])
	minutes, _ := strconv.Atoi(parts[1])
	seconds, _ := strconv.ParseFloat(parts[2], 64)
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute + time.Duration(seconds*float64(time.Second))
}

func tail(output []byte) []byte { return output[max(0, len(output)-3000):] }
