package record

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"
)

const (
	// clusterTime is how long a cluster gets: a block's time in it is an int16 of
	// milliseconds, and a player seeks to clusters.
	clusterTime = 5 * time.Second
	clusterSize = 4 << 20
)

// What the hot path writes by itself; all else is in matroska_elements.go.
const (
	simpleBlockID  = 0xA3
	simpleBlockKey = 0x80
	unknownSize    = 1<<56 | (1<<56 - 1) // EBML's, in eight bytes (RFC 8794, 6.2)
	sizeOfMaster   = 4 + 8               // the ID of a Segment or Cluster and its size
)

// matroska writes a Matroska file (RFC 9559). Every block goes to the file at
// once, with one system call, so that nothing is lost with the process; what is
// known at the end only has room at the beginning.
type matroska struct {
	// Static.
	output  *output
	streams []streamHead
	layout  layout

	cluster cluster
	length  time.Duration   // up to the end of what plays longest
	last    []time.Duration // when each track's last block is; -1 before the first
	cues    []cueList       // of each track
	buffer  []byte
}

// cluster is the one that is written.
type cluster struct {
	open   bool
	offset int64
	at     int64 // ms
}

func newMatroska(o *output, streams []streamHead, start time.Time) (muxer, error) {
	head, layout, err := matroskaHead(streams, start)
	if err != nil {
		return nil, err
	}
	m := &matroska{output: o, streams: streams, layout: layout, cues: make([]cueList, len(streams))}
	for range streams {
		m.last = append(m.last, -1)
	}
	return m, o.append(head)
}

func (m *matroska) write(b block) error {
	at := milliseconds(b.at)
	m.buffer = m.buffer[:0]
	begins := m.beginsCluster(b, at)
	if begins {
		if err := m.closeCluster(); err != nil {
			return err
		}
		if err := m.beginCluster(at); err != nil {
			return err
		}
	}
	m.appendBlock(b, at)
	if err := m.output.append(m.buffer); err != nil {
		if begins {
			m.cluster.open = false // it is not in the file
		}
		return err
	}
	m.output.hasMedia = true
	m.length = max(m.length, b.at+m.duration(b))
	m.last[b.number] = b.at
	if begins && (b.keyframe || !m.streams[b.number].codec.video()) {
		m.cues[b.number].add(cue{at: b.at, position: m.cluster.offset - m.layout.segment, number: b.number + 1})
	}
	return nil
}

// beginsCluster tells whether a block is the first of a new cluster.
func (m *matroska) beginsCluster(b block, at int64) bool {
	c := &m.cluster
	if !c.open || b.keyframe {
		return true
	}
	return at-c.at >= clusterTime.Milliseconds() || at < c.at-clusterTime.Milliseconds() ||
		m.output.size-c.offset >= clusterSize
}

func (m *matroska) beginCluster(at int64) error {
	head, err := clusterHead(at)
	if err != nil {
		return err
	}
	m.cluster = cluster{open: true, offset: m.output.size, at: at}
	m.buffer = append(m.buffer, head...)
	return nil
}

// closeCluster gives the cluster its size.
func (m *matroska) closeCluster() error {
	if !m.cluster.open {
		return nil
	}
	m.cluster.open = false
	size := m.output.size - m.cluster.offset - sizeOfMaster
	return m.output.patch(masterSize(size), m.cluster.offset+4)
}

// appendBlock adds a SimpleBlock to the buffer. The size is known after the
// payload, and has the same length for every block.
func (m *matroska) appendBlock(b block, at int64) {
	begin := len(m.buffer)
	flags := byte(0)
	if b.keyframe || !m.streams[b.number].codec.video() {
		flags = simpleBlockKey
	}
	m.buffer = append(m.buffer, simpleBlockID, 0, 0, 0, 0, 0x80|byte(b.number+1))
	m.buffer = binary.BigEndian.AppendUint16(m.buffer, uint16(at-m.cluster.at))
	m.buffer = append(m.buffer, flags)
	m.buffer = appendPayload(m.buffer, m.streams[b.number].codec, b.payload)
	size := len(m.buffer) - begin - 5
	binary.BigEndian.PutUint32(m.buffer[begin+1:], 1<<28|uint32(size))
}

// appendPayload adds a frame as Matroska and MP4 have it.
func appendPayload(b []byte, codec Codec, payload []byte) []byte {
	if codec == H264 {
		return appendLengthPrefixed(b, payload)
	}
	return append(b, payload...)
}

// duration is how long a block plays. That of a picture is taken to be that of
// the one before.
func (m *matroska) duration(b block) time.Duration {
	if b.duration > 0 || m.last[b.number] < 0 {
		return b.duration
	}
	return min(b.at-m.last[b.number], time.Second)
}

// flush has nothing to do: every block is in the file already.
func (m *matroska) flush(time.Time) error { return nil }

// finish writes what makes the file complete. Where the disk is full, all but the
// cues still has its place.
func (m *matroska) finish() error {
	return cmp.Or(
		m.closeCluster(),
		m.writeCues(),
		m.writeDuration(),
		m.output.patch(masterSize(m.output.size-m.layout.segment), m.layout.segment-8),
	)
}

// writeCues adds the cues, and says where they are.
func (m *matroska) writeCues() error {
	cues := m.chooseCues()
	if len(cues) == 0 {
		return nil
	}
	at := m.output.size
	b, err := cuesElement(cues)
	if err != nil {
		return err
	}
	if err := m.output.append(b); err != nil {
		return err
	}
	if b, err = seekHead(m.layout, at); err != nil {
		return err
	}
	return m.output.patch(b, m.layout.segment)
}

// chooseCues takes those of the pictures, or of the sound where there are none.
func (m *matroska) chooseCues() []cue {
	var pictures, sound []cue
	for i, s := range m.streams {
		if s.codec.video() {
			pictures = append(pictures, m.cues[i].cues...)
		} else {
			sound = append(sound, m.cues[i].cues...)
		}
	}
	if len(pictures) == 0 {
		pictures = sound
	}
	slices.SortStableFunc(pictures, func(a, b cue) int { return cmp.Compare(a.at, b.at) })
	return pictures
}

func (m *matroska) writeDuration() error {
	b, err := durationElement(m.length)
	if err != nil {
		return err
	}
	return m.output.patch(b, m.layout.duration)
}

// masterSize is a size in eight bytes.
func masterSize(size int64) []byte {
	return binary.BigEndian.AppendUint64(nil, 1<<56|uint64(size))
}
