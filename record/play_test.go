package record_test

import (
	"fmt"
	"testing"

	"github.com/gstpeer/gstpeer/internal/mediatest"
	"github.com/gstpeer/gstpeer/record"
)

// played is what GStreamer's demuxer and decoders make of a stream in a file.
type played = mediatest.Stream

var decoders = map[record.Codec]string{
	record.VP8:  "vp8dec",
	record.VP9:  "vp9dec",
	record.H264: "h264parse ! avdec_h264",
	record.Opus: "opusdec",
}

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
		streams[i] = mediatest.Pass(t, path, pad, then(c))
	}
	return streams
}
