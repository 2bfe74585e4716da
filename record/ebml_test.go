package record_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
	"time"
)

// This reads Matroska without the library that writes it.

// The elements that a test looks at (RFC 9559).
const (
	idEBML         = 0x1A45DFA3
	idSegment      = 0x18538067
	idSeekHead     = 0x114D9B74
	idSeek         = 0x4DBB
	idSeekID       = 0x53AB
	idSeekPosition = 0x53AC
	idInfo         = 0x1549A966
	idDuration     = 0x4489
	idTracks       = 0x1654AE6B
	idTrackEntry   = 0xAE
	idCodecID      = 0x86
	idVideo        = 0xE0
	idPixelWidth   = 0xB0
	idPixelHeight  = 0xBA
	idCluster      = 0x1F43B675
	idTimestamp    = 0xE7
	idSimpleBlock  = 0xA3
	idCues         = 0x1C53BB6B
	idCuePoint     = 0xBB
	idCueTime      = 0xB3
	idCuePositions = 0xB7
	idCueTrack     = 0xF7
	idCuePosition  = 0xF1
)

// ebmlElement is one with its place in the file.
type ebmlElement struct {
	id      uint64
	at      int
	payload []byte
	offset  int // of the payload
	unknown bool
}

// matroskaFile is what is in one.
type matroskaFile struct {
	closed   bool // its segment has a size
	codecs   []string
	widths   []uint64
	heights  []uint64
	duration time.Duration
	blocks   []matroskaBlock
	cues     int
}

type matroskaBlock struct {
	track    int // from 0
	at       time.Duration
	keyframe bool
	payload  []byte
	first    bool // of its cluster
	cluster  int  // its position
}

// frames are the blocks of a track.
func (f *matroskaFile) frames(track int) []matroskaBlock {
	return slices.DeleteFunc(slices.Clone(f.blocks), func(b matroskaBlock) bool { return b.track != track })
}

func readMatroska(t testing.TB, path string) *matroskaFile {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parseMatroska(b)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return f
}

// parseMatroska checks that a file is whole: every element has its size, nothing
// is left over, and what points at something points at it. Only a file that was
// not closed may end in the middle of an element.
func parseMatroska(b []byte) (*matroskaFile, error) {
	top, err := elements(b, 0, false)
	if err != nil {
		return nil, err
	}
	if len(top) != 2 || top[0].id != idEBML || top[1].id != idSegment {
		return nil, fmt.Errorf("got %d elements, want a header and a segment", len(top))
	}
	segment := top[1]
	f := &matroskaFile{closed: !segment.unknown}
	children, err := elements(segment.payload, segment.offset, segment.unknown)
	if err != nil {
		return nil, err
	}
	for _, e := range children {
		if err := f.read(e, segment.offset); err != nil {
			return nil, err
		}
	}
	return f, f.check(children, segment)
}

func (f *matroskaFile) read(e ebmlElement, segment int) error {
	children, err := elements(e.payload, e.offset, e.unknown)
	switch e.id {
	case idInfo:
		if d, ok := find(children, idDuration); ok {
			f.duration = time.Duration(math.Float64frombits(binary.BigEndian.Uint64(d.payload)) * float64(time.Millisecond))
		}
		return err
	case idTracks:
		for _, entry := range children {
			fields, _ := elements(entry.payload, entry.offset, false)
			codec, _ := find(fields, idCodecID)
			f.codecs = append(f.codecs, string(codec.payload))
			video, _ := find(fields, idVideo)
			size, _ := elements(video.payload, video.offset, false)
			width, _ := find(size, idPixelWidth)
			height, _ := find(size, idPixelHeight)
			f.widths, f.heights = append(f.widths, number(width)), append(f.heights, number(height))
		}
		return err
	case idCluster:
		if err != nil || e.unknown && len(children) == 0 {
			return err
		}
		return f.readCluster(children, e.at-segment)
	}
	return nil
}

func (f *matroskaFile) readCluster(children []ebmlElement, position int) error {
	if len(children) == 0 || children[0].id != idTimestamp {
		return fmt.Errorf("a cluster does not begin with its timestamp")
	}
	for i, block := range children[1:] {
		if block.id != idSimpleBlock || len(block.payload) < 4 {
			return fmt.Errorf("element %x in a cluster", block.id)
		}
		relative := int16(binary.BigEndian.Uint16(block.payload[1:]))
		f.blocks = append(f.blocks, matroskaBlock{
			track:    int(block.payload[0]&0x7f) - 1,
			at:       time.Duration(int64(number(children[0]))+int64(relative)) * time.Millisecond,
			keyframe: block.payload[3]&0x80 != 0,
			payload:  block.payload[4:],
			first:    i == 0, cluster: position,
		})
	}
	return nil
}

func (f *matroskaFile) check(children []ebmlElement, segment ebmlElement) error {
	last := make(map[int]time.Duration)
	for _, b := range f.blocks {
		if before, ok := last[b.track]; ok && b.at <= before || b.at < 0 || b.track >= len(f.codecs) {
			return fmt.Errorf("a block of track %d at %v follows one at %v", b.track, b.at, before)
		}
		last[b.track] = b.at
	}
	if !f.closed {
		return nil
	}
	for _, e := range children {
		switch e.id {
		case idSeekHead:
			if err := checkSeekHead(e, children, segment.offset); err != nil {
				return err
			}
		case idCues:
			if err := f.checkCues(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkSeekHead(head ebmlElement, children []ebmlElement, segment int) error {
	seeks, err := elements(head.payload, head.offset, false)
	for _, s := range seeks {
		fields, _ := elements(s.payload, s.offset, false)
		id, _ := find(fields, idSeekID)
		position, _ := find(fields, idSeekPosition)
		target, ok := find(children, number(id))
		if !ok || target.at-segment != int(number(position)) {
			return fmt.Errorf("the seek head has %x at %d, but it is at %d", number(id), number(position), target.at-segment)
		}
	}
	return err
}

func (f *matroskaFile) checkCues(cues ebmlElement) error {
	firsts := make(map[int]matroskaBlock)
	for _, b := range f.blocks {
		if b.first {
			firsts[b.cluster] = b
		}
	}
	points, err := elements(cues.payload, cues.offset, false)
	for _, p := range points {
		fields, _ := elements(p.payload, p.offset, false)
		at, _ := find(fields, idCueTime)
		positions, _ := find(fields, idCuePositions)
		fields, _ = elements(positions.payload, positions.offset, false)
		track, _ := find(fields, idCueTrack)
		position, _ := find(fields, idCuePosition)
		b, ok := firsts[int(number(position))]
		if !ok || !b.keyframe || b.track != int(number(track))-1 || b.at != time.Duration(number(at))*time.Millisecond {
			return fmt.Errorf("a cue of track %d at %d ms points at %d, where no keyframe of it is", number(track), number(at), number(position))
		}
		f.cues++
	}
	return err
}

// elements reads those that follow one another in b, of which the last one may be
// cut off in a parent of unknown size.
func elements(b []byte, offset int, mayEnd bool) ([]ebmlElement, error) {
	var all []ebmlElement
	for at := 0; at < len(b); {
		id, n := vint(b[at:], true)
		if n > 4 || n == 0 && (b[at] == 0 || !mayEnd) {
			return all, fmt.Errorf("no element at %d", offset+at)
		}
		size, m := vint(b[at+n:], false)
		cutOff := n == 0 || m == 0 || size > uint64(len(b)-at-n-m) && size != 1<<(7*m)-1
		if cutOff && mayEnd && m > 0 && id == idCluster {
			size, cutOff = 1<<(7*m)-1, false // what is in it counts
		}
		if cutOff && mayEnd {
			return all, nil
		}
		if m == 0 {
			return all, fmt.Errorf("no size at %d", offset+at+n)
		}
		begin := at + n + m
		e := ebmlElement{id: id, at: offset + at, offset: offset + begin, unknown: size == 1<<(7*m)-1}
		if e.unknown {
			size = uint64(len(b) - begin)
			if next := nextCluster(b, begin); id == idCluster && next >= 0 {
				size = uint64(next - begin)
			}
		}
		if size > uint64(len(b)-begin) {
			return all, fmt.Errorf("element %x at %d has %d bytes, but %d follow", id, offset+at, size, len(b)-begin)
		}
		e.payload = b[begin : begin+int(size)]
		all = append(all, e)
		at = begin + int(size)
	}
	return all, nil
}

// nextCluster finds the end of a cluster of unknown size: the first child that is
// none of a cluster.
func nextCluster(b []byte, at int) int {
	for at < len(b) {
		id, n := vint(b[at:], true)
		if id == idCluster || id == idCues {
			return at
		}
		size, m := vint(b[at+n:], false)
		if n == 0 || m == 0 {
			return -1
		}
		at += n + m + int(min(size, uint64(len(b))))
	}
	return -1
}

func vint(b []byte, marker bool) (value uint64, length int) {
	if len(b) == 0 || b[0] == 0 {
		return 0, 0
	}
	for length = 1; b[0]>>(8-length) == 0; length++ {
	}
	if len(b) < length {
		return 0, 0
	}
	for _, c := range b[:length] {
		value = value<<8 | uint64(c)
	}
	if !marker {
		value &^= 1 << (7 * length)
	}
	return value, length
}

func find(all []ebmlElement, id uint64) (ebmlElement, bool) {
	i := slices.IndexFunc(all, func(e ebmlElement) bool { return e.id == id })
	if i < 0 {
		return ebmlElement{}, false
	}
	return all[i], true
}

func number(e ebmlElement) (n uint64) {
	for _, c := range e.payload {
		n = n<<8 | uint64(c)
	}
	return n
}
