package record_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/gstpeer/gstpeer/record"
)

// TestParse reads frames of real encoders, and some of none.
func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		codec         record.Codec
		payload       []byte
		keyframe      bool
		width, height int
		garbage       bool
	}{
		{name: "VP8 keyframe", codec: record.VP8, payload: encode(t, video(record.VP8, 4, 320, 240))[0].payload, keyframe: true, width: 320, height: 240},
		{name: "VP8", codec: record.VP8, payload: encode(t, video(record.VP8, 4, 320, 240))[1].payload},
		{name: "VP8 short", codec: record.VP8, payload: []byte{1, 2}, garbage: true},
		{name: "VP8 without start code", codec: record.VP8, payload: make([]byte, 100), garbage: true},
		{name: "VP8 without width", codec: record.VP8, payload: []byte{0, 0, 0, 0x9d, 1, 0x2a, 0, 0xc0, 1, 0}, garbage: true},
		{name: "VP8 scaled", codec: record.VP8, payload: []byte{0, 0, 0, 0x9d, 1, 0x2a, 1, 0xc0, 2, 0x40}, keyframe: true, width: 1, height: 2},
		{name: "VP9 keyframe", codec: record.VP9, payload: encode(t, video(record.VP9, 4, 320, 240))[0].payload, keyframe: true, width: 320, height: 240},
		{name: "VP9", codec: record.VP9, payload: encode(t, video(record.VP9, 4, 320, 240))[1].payload},
		{name: "VP9 shows an existing frame", codec: record.VP9, payload: []byte{0x88}},
		{name: "VP9 without marker", codec: record.VP9, payload: []byte{0x40, 0, 0}, garbage: true},
		{name: "H264 keyframe", codec: record.H264, payload: encode(t, video(record.H264, 4, 320, 240))[0].payload, keyframe: true, width: 320, height: 240},
		{name: "H264", codec: record.H264, payload: encode(t, video(record.H264, 4, 320, 240))[1].payload},
		{name: "H264 without start code", codec: record.H264, payload: []byte{0x65, 0x88}, garbage: true},
		{name: "H264 keyframe without parameters", codec: record.H264, payload: []byte{0, 0, 1, 0x65, 0x88, 0x84}},
		{name: "H264 start code alone", codec: record.H264, payload: []byte{0, 0, 0, 1}, garbage: true},
		{name: "Opus", codec: record.Opus, payload: encode(t, sound(4))[0].payload},
		{name: "Opus of no frames", codec: record.Opus, payload: []byte{0xff, 0}, garbage: true},
		{name: "Opus of more than 120 ms", codec: record.Opus, payload: []byte{0xff, 7}, garbage: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			keyframe, width, height, err := record.Parse(test.codec, test.payload)
			if keyframe != test.keyframe || width != test.width || height != test.height || (err != nil) != test.garbage {
				t.Errorf("got keyframe %v, %d x %d, %v; want %v, %d x %d, garbage %v",
					keyframe, width, height, err, test.keyframe, test.width, test.height, test.garbage)
			}
		})
	}
}

// TestParameterSetsApart has them come in an access unit of their own, before the
// keyframe that uses them.
func TestParameterSetsApart(t *testing.T) {
	t.Parallel()
	payload := encode(t, video(record.H264, 4, 320, 240))[0].payload
	at := bytes.LastIndex(payload, []byte{0, 0, 1, 0x65})
	keyframe, width, _, err := record.Parse(record.H264, payload[:at], payload[at:])
	if !keyframe || width != 320 || err != nil {
		t.Errorf("got keyframe %v, width %d, %v", keyframe, width, err)
	}
}

// TestManySlices takes a keyframe of more slices than mediacommon's parser does.
func TestManySlices(t *testing.T) {
	t.Parallel()
	picture := encode(t, "videotestsrc num-buffers=30 pattern=snow ! video/x-raw,width=640,height=480,framerate=30/1 ! x264enc tune=zerolatency speed-preset=ultrafast option-string=slice-max-size=1000 bitrate=8000 ! video/x-h264,profile=constrained-baseline,stream-format=byte-stream,alignment=au")
	if n := bytes.Count(picture[0].payload, []byte{0, 0, 1, 0x65}); n <= 50 {
		t.Fatalf("got %d slices, want a test with more than 50", n)
	}
	c := dial(t, record.Config{Tracks: both(record.H264)[:1]})
	c.writeAll(mix(map[int][]frame{pictures: picture}))
	c.hangUp()
	wantPlayed(t, play(t, c.file(), record.H264)[0], picture)
}

func TestLengthPrefixed(t *testing.T) {
	t.Parallel()
	tests := []struct{ annexB, want string }{
		{"\x00\x00\x01ab", "\x00\x00\x00\x02ab"},
		{"\x00\x00\x00\x01ab\x00\x00\x00\x01c", "\x00\x00\x00\x02ab\x00\x00\x00\x01c"},
		{"\x00\x00\x01ab\x00\x00\x00\x00\x00\x01c\x00\x00", "\x00\x00\x00\x02ab\x00\x00\x00\x01c"},
		{"\x00\x00\x01\x00\x00\x01a", "\x00\x00\x00\x01a"},
		{"ab\x00\x00\x01c", ""},
		{"", ""},
	}
	for _, test := range tests {
		if got := record.LengthPrefixed([]byte(test.annexB)); string(got) != test.want {
			t.Errorf("%q: got %q, want %q", test.annexB, got, test.want)
		}
	}
}

// TestNewIdentifiers has an encoder number its parameter sets anew in each
// keyframe, as OpenH264 does unless it is told not to: no reason for a new file.
func TestNewIdentifiers(t *testing.T) {
	t.Parallel()
	picture := slices.Clone(encode(t, video(record.H264, 4, 320, 240)))
	group := uint32(0)
	for i := range picture {
		if picture[i].keyframe {
			group++
		}
		picture[i].payload = renumber(t, picture[i].payload, group)
	}
	for _, format := range []record.Format{record.Matroska, record.MP4} {
		c := dial(t, record.Config{Format: format, Tracks: both(record.H264)[:1]})
		c.writeAll(mix(map[int][]frame{pictures: picture}))
		c.hangUp()
		wantPlayed(t, play(t, c.file(), record.H264)[0], picture)
	}
}

// renumber gives the parameter sets of an access unit another identifier.
func renumber(t *testing.T, payload []byte, id uint32) []byte {
	t.Helper()
	var unit h264.AnnexB
	if err := unit.Unmarshal(payload); err != nil {
		t.Fatal(err)
	}
	for i, nal := range unit {
		head, codes := 1, ""
		switch h264.NALUType(nal[0] & 0x1f) {
		case h264.NALUTypeSPS:
			head, codes = 4, "i"
		case h264.NALUTypePPS:
			codes = "ii"
		case h264.NALUTypeIDR, h264.NALUTypeNonIDR:
			codes = "..i"
		default:
			continue
		}
		rest := h264.EmulationPreventionRemove(nal[head:])
		unit[i] = append(bytes.Clone(nal[:head]), escape(recode(rest, codes, id))...)
	}
	b, err := unit.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recode replaces Exp-Golomb codes at the beginning of a payload: an i by id.
func recode(payload []byte, codes string, id uint32) []byte {
	var out strings.Builder
	at := 0
	for _, code := range codes {
		value, _ := bits.ReadGolombUnsigned(payload, &at)
		if code == 'i' {
			value = id
		}
		digits := binaryDigits(value + 1)
		out.WriteString(strings.Repeat("0", len(digits)-1) + digits)
	}
	end := len(payload)*8 - 1
	for payload[end/8]>>(7-end%8)&1 == 0 { // up to the stop bit
		end--
	}
	for ; at <= end; at++ {
		out.WriteByte('0' + payload[at/8]>>(7-at%8)&1)
	}
	text := out.String() + strings.Repeat("0", (8-out.Len()%8)%8)
	b := make([]byte, len(text)/8)
	for i := range text {
		b[i/8] |= (text[i] - '0') << (7 - i%8)
	}
	return b
}

func binaryDigits(value uint32) string {
	digits := ""
	for ; value > 0; value /= 2 {
		digits = string('0'+byte(value%2)) + digits
	}
	return digits
}

// escape puts emulation prevention back (ITU-T H.264, 7.4.1).
func escape(payload []byte) []byte {
	var out []byte
	zeros := 0
	for _, b := range payload {
		if zeros == 2 && b <= 3 {
			out, zeros = append(out, 3), 0
		}
		if out = append(out, b); b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return out
}

// FuzzParse has the parsers read any bytes: a size is one that a file can have, and
// a frame of H.264 fits in what it becomes.
func FuzzParse(f *testing.F) {
	for i := range byte(4) {
		for _, seed := range []string{
			"\x00\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00", "\x31\x00\x00", "\x82\x49\x83\x42\x00\x13\xf0\x0e\xf0", "\x88",
			"\x00\x00\x00\x01\x67\x42\xc0\x0d\xda\x05\x07\xec\x05\xa8\x30\x30\x35\x28\x00\x00\x03\x00\x08\x00\x00\x03\x00\x80\x1e\x47\x8a\x15\x50\x00\x00\x01\x68\xce\x3c\x80\x00\x00\x01\x65\x88\x84",
			"\x00\x00\x01\x67\x64\x00\x28\xac\xd9\x40\x78\x02\x27\xe5\xc0\x44\x00\x00\x01\x68\xeb\xe3\xcb\x22\xc0", "\xfc\xff\xfe", "\xff\x03",
		} {
			f.Add(i, []byte(seed), []byte("\x00\x00\x01\x65\x88\x84"))
		}
	}
	f.Fuzz(func(t *testing.T, codec byte, first, second []byte) {
		c := []record.Codec{record.VP8, record.VP9, record.H264, record.Opus}[codec%4]
		keyframe, width, height, err := record.Parse(c, first, second)
		if keyframe && (width < 1 || height < 1 || width > 16383 || height > 16383) {
			t.Errorf("got %d x %d", width, height)
		}
		if keyframe && err != nil {
			t.Errorf("got a keyframe and %v", err)
		}
		if b := record.LengthPrefixed(first); !wholeUnits(b) || len(b) > len(first)*5/4+4 {
			t.Errorf("got %x", b)
		}
	})
}

func wholeUnits(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 4 {
			return false
		}
		size := binary.BigEndian.Uint32(b)
		if size == 0 || int(size) > len(b)-4 {
			return false
		}
		b = b[4+size:]
	}
	return true
}
