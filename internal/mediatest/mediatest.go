// Package mediatest looks into media files in tests, with GStreamer's own tools.
package mediatest

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Stream is what comes of one stream of a file.
type Stream struct {
	Start, End time.Duration
	Buffers    int
	PTS        []time.Duration
}

func (s Stream) String() string {
	return fmt.Sprintf("%d buffers from %v to %v", s.Buffers, s.Start, s.End)
}

// LastPause is the longest time between two frames near the end of the stream: by
// that much it may end early, be it that the sender has no more frames in a
// second or that it stood still.
func (s Stream) LastPause() time.Duration {
	longest := time.Duration(0)
	for i := max(1, len(s.PTS)-5); i < len(s.PTS); i++ {
		longest = max(longest, s.PTS[i]-s.PTS[i-1])
	}
	return longest
}

var chained = regexp.MustCompile(`chain .* pts: ([0-9:.]+|none), duration: ([0-9:.]+|none)`)

// Pass takes one stream of a file, such as "video_0" or "audio_0", through a
// fragment of gst-launch, such as decodebin, and tells what comes out.
func Pass(t testing.TB, path, pad, through string) Stream {
	t.Helper()
	demuxer := "matroskademux"
	if strings.HasSuffix(path, ".mp4") {
		demuxer = "qtdemux"
	}
	launch := fmt.Sprintf("filesrc location=%s ! %s name=demux demux.%s ! %s ! fakesink silent=false sync=false", path, demuxer, pad, through)
	output, err := exec.Command("gst-launch-1.0", append([]string{"-v"}, strings.Fields(launch)...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("gst-launch-1.0 %s: %v\n%s", launch, err, output[max(0, len(output)-3000):])
	}
	var s Stream
	for _, match := range chained.FindAllSubmatch(output, -1) {
		s.add(ClockTime(string(match[1])), ClockTime(string(match[2])))
	}
	return s
}

func (s *Stream) add(pts, duration time.Duration) {
	if s.Buffers == 0 {
		s.Start = pts
	}
	s.Buffers++
	s.End = max(s.End, pts+max(duration, 0))
	s.PTS = append(s.PTS, pts)
}

// ClockTime reads GStreamer's form of a time, -1 for none.
func ClockTime(text string) time.Duration {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return -1
	}
	hours, _ := strconv.Atoi(parts[0])
	minutes, _ := strconv.Atoi(parts[1])
	seconds, _ := strconv.ParseFloat(parts[2], 64)
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute + time.Duration(seconds*float64(time.Second))
}
