package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/at-wat/ebml-go"
)

const (
	appName       = "gstpeer"
	timestampUnit = uint64(time.Millisecond)
	// What a decoder of Opus has to know (RFC 7845, 4.2 and 4.6): libopus looks
	// ahead 312 samples, and has converged after 80 ms.
	opusPreSkip     = 312
	opusSeekPreRoll = 80 * time.Millisecond
	// sizeOfDuration is what the element takes, ID and size included.
	sizeOfDuration = 2 + 1 + 8
)

// layout is where in the file the elements are that are written at the end.
type layout struct {
	segment  int64 // the first byte in it: what its positions count from
	info     int64
	tracks   int64
	duration int64
	seekHead int // the room for it
}

type ebmlHeader struct {
	EBML struct {
		EBMLVersion        uint64
		EBMLReadVersion    uint64
		EBMLMaxIDLength    uint64
		EBMLMaxSizeLength  uint64
		EBMLDocType        string
		EBMLDocTypeVersion uint64
		// Readers of version 2 know all that there is: SimpleBlock came with it.
		EBMLDocTypeReadVersion uint64
	}
}

type seek struct {
	SeekID       []byte
	SeekPosition uint64 `ebml:"SeekPosition,size=8"`
}

// info ends with the place of the Duration, which is a Void until it is known.
type info struct {
	Info struct {
		TimestampScale uint64    `ebml:"TimecodeScale"`
		DateUTC        time.Time `ebml:"DateUTC,size=8"`
		MuxingApp      string
		WritingApp     string
		Void           []byte
	}
}

type trackEntry struct {
	TrackNumber  uint64
	TrackUID     uint64
	TrackType    uint64
	FlagLacing   uint64
	Language     string
	CodecID      string
	CodecPrivate []byte       `ebml:"CodecPrivate,omitempty"`
	CodecDelay   uint64       `ebml:"CodecDelay,omitempty"`
	SeekPreRoll  uint64       `ebml:"SeekPreRoll,omitempty"`
	Video        *videoHead   `ebml:"Video"`
	Audio        *audioHeader `ebml:"Audio"`
}

type videoHead struct {
	FlagInterlaced uint64
	PixelWidth     uint64
	PixelHeight    uint64
}

type audioHeader struct {
	SamplingFrequency float64
	Channels          uint64
}

// element encodes a structure whose fields are elements of Matroska.
func element(fields any) ([]byte, error) {
	var b bytes.Buffer
	if err := ebml.Marshal(fields, &b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrite, err)
	}
	return b.Bytes(), nil
}

// matroskaHead is the file up to the first cluster.
func matroskaHead(streams []streamHead, start time.Time) ([]byte, layout, error) {
	var header ebmlHeader
	h := &header.EBML
	h.EBMLVersion, h.EBMLReadVersion = 1, 1
	h.EBMLMaxIDLength, h.EBMLMaxSizeLength = 4, 8
	h.EBMLDocType, h.EBMLDocTypeVersion, h.EBMLDocTypeReadVersion = "matroska", 4, 2
	head, err := element(&header)
	if err != nil {
		return nil, layout{}, err
	}
	var i info
	i.Info.TimestampScale = timestampUnit
	i.Info.DateUTC = start.UTC()
	i.Info.MuxingApp, i.Info.WritingApp = appName, appName
	i.Info.Void = make([]byte, sizeOfDuration-2)
	infoBytes, err := element(&i)
	if err != nil {
		return nil, layout{}, err
	}
	tracks, err := tracksElement(streams)
	if err != nil {
		return nil, layout{}, err
	}
	head = append(head, ebml.ElementSegment.Bytes()...)
	head = binary.BigEndian.AppendUint64(head, unknownSize)
	l := layout{segment: int64(len(head))}
	// The room is that of the complete one.
	complete, err := seekHead(l, 0)
	if err != nil {
		return nil, layout{}, err
	}
	l.seekHead = len(complete)
	l.info = int64(len(head) + l.seekHead)
	l.tracks = l.info + int64(len(infoBytes))
	l.duration = l.tracks - sizeOfDuration
	first, err := seekHead(l, -1)
	if err != nil {
		return nil, layout{}, err
	}
	head = append(head, first...)
	head = append(head, infoBytes...)
	return append(head, tracks...), l, nil
}

// seekHead says where the other elements are. Where there are no cues, cues < 0,
// it leaves the room for them.
func seekHead(l layout, cues int64) ([]byte, error) {
	var s struct {
		SeekHead struct{ Seek []seek }
	}
	add := func(id ebml.ElementType, at int64) {
		s.SeekHead.Seek = append(s.SeekHead.Seek, seek{id.Bytes(), uint64(at - l.segment)})
	}
	add(ebml.ElementInfo, l.info)
	add(ebml.ElementTracks, l.tracks)
	if cues >= 0 {
		add(ebml.ElementCues, cues)
		return element(&s)
	}
	b, err := element(&s)
	if err != nil {
		return nil, err
	}
	room, err := element(&struct{ Void []byte }{make([]byte, l.seekHead-len(b)-2)})
	return append(b, room...), err
}

func tracksElement(streams []streamHead) ([]byte, error) {
	var t struct {
		Tracks struct{ TrackEntry []trackEntry }
	}
	for i, s := range streams {
		t.Tracks.TrackEntry = append(t.Tracks.TrackEntry, newTrackEntry(uint64(i+1), s))
	}
	return element(&t)
}

func newTrackEntry(number uint64, s streamHead) trackEntry {
	e := trackEntry{TrackNumber: number, TrackUID: number, Language: "und"}
	if s.codec == Opus {
		e.TrackType, e.CodecID, e.CodecPrivate = 2, "A_OPUS", opusHead()
		e.CodecDelay = uint64(opusPreSkip * time.Second / 48000)
		e.SeekPreRoll = uint64(opusSeekPreRoll)
		e.Audio = &audioHeader{SamplingFrequency: 48000, Channels: 2}
		return e
	}
	e.TrackType = 1
	e.Video = &videoHead{FlagInterlaced: 2, PixelWidth: uint64(s.picture.width), PixelHeight: uint64(s.picture.height)}
	switch s.codec {
	case VP8:
		e.CodecID = "V_VP8"
	case VP9:
		e.CodecID = "V_VP9"
	case H264:
		e.CodecID, e.CodecPrivate = "V_MPEG4/ISO/AVC", avcConfiguration(s.picture)
	}
	return e
}

// opusHead is the identification header of RFC 7845, 5.1, for two channels:
// packets of one play in both. mediacommon writes its numbers in the wrong order.
func opusHead() []byte {
	b := append([]byte("OpusHead"), 1, 2)
	b = binary.LittleEndian.AppendUint16(b, opusPreSkip)
	b = binary.LittleEndian.AppendUint32(b, 48000)
	return append(b, 0, 0, 0) // gain, mapping family
}

// avcConfiguration is the AVCDecoderConfigurationRecord of ISO/IEC 14496-15.
func avcConfiguration(p picture) []byte {
	b := []byte{1, p.sps[1], p.sps[2], p.sps[3], 0xfc | 3, 0xe0 | 1} // lengths in 4 bytes, one SPS
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.sps)))
	b = append(b, p.sps...)
	b = append(b, 1) // PPS
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.pps)))
	b = append(b, p.pps...)
	switch p.parsedSPS.ProfileIdc {
	case 100, 110, 122, 144:
		b = append(b, 0xfc|byte(p.parsedSPS.ChromaFormatIdc), 0xf8|byte(p.parsedSPS.BitDepthLumaMinus8),
			0xf8|byte(p.parsedSPS.BitDepthChromaMinus8), 0)
	}
	return b
}

// clusterHead begins a cluster of unknown size.
func clusterHead(at int64) ([]byte, error) {
	var c struct {
		Cluster struct {
			Timestamp uint64 `ebml:"Timecode"`
		} `ebml:"Cluster,size=unknown"`
	}
	c.Cluster.Timestamp = uint64(at)
	return element(&c)
}

// durationElement takes the place of the Void at the end of Info.
func durationElement(length time.Duration) ([]byte, error) {
	return element(&struct{ Duration float64 }{float64(length) / float64(timestampUnit)})
}

type cueTrackPositions struct {
	CueTrack           uint64
	CueClusterPosition uint64
}

type cuePoint struct {
	CueTime           uint64
	CueTrackPositions cueTrackPositions
}

func cuesElement(cues []cue) ([]byte, error) {
	var c struct {
		Cues struct{ CuePoint []cuePoint }
	}
	for _, cue := range cues {
		c.Cues.CuePoint = append(c.Cues.CuePoint, cuePoint{
			CueTime:           uint64(milliseconds(cue.at)),
			CueTrackPositions: cueTrackPositions{uint64(cue.number), uint64(cue.position)},
		})
	}
	return element(&c)
}

// milliseconds is a time in timestampUnits.
func milliseconds(d time.Duration) int64 {
	return d.Round(time.Millisecond).Milliseconds()
}
