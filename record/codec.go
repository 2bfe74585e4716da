package record

import (
	"encoding/binary"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"
)

// maxSide is the longest side of a picture, in pixels: VP8 can go no further.
const maxSide = 1<<14 - 1

// maxPacket is the longest packet of Opus (RFC 6716, 3.2.5), in samples.
const maxPacket = 120 * 48

// parser reads in the frames of one track what a file has to know of them. It
// takes any bytes.
type parser interface {
	parse(payload []byte) (unit, error)
}

// picture is what the head of a file says of a video.
type picture struct {
	width, height int
	vp9           vp9.Header
	// Of H.264: the parameter sets that its keyframe uses.
	sps, pps  []byte
	parsedSPS h264.SPS
}

func newParser(codec Codec) parser {
	switch codec {
	case VP8:
		return vp8Parser{}
	case VP9:
		return vp9Parser{}
	case H264:
		return &h264Parser{}
	case Opus:
		return opusParser{}
	default:
		return nil
	}
}

func soundSize(width, height int) bool {
	return width > 0 && height > 0 && width <= maxSide && height <= maxSide
}

type vp8Parser struct{}

// parse reads the uncompressed data chunk (RFC 6386, 9.1).
func (vp8Parser) parse(payload []byte) (unit, error) {
	if len(payload) < 3 {
		return unit{}, errGarbage
	}
	if payload[0]&1 == 1 {
		return unit{}, nil
	}
	if len(payload) < 10 || payload[3] != 0x9d || payload[4] != 0x01 || payload[5] != 0x2a {
		return unit{}, errGarbage
	}
	width := int(binary.LittleEndian.Uint16(payload[6:])) & maxSide
	height := int(binary.LittleEndian.Uint16(payload[8:])) & maxSide
	if !soundSize(width, height) {
		return unit{}, errGarbage
	}
	return unit{keyframe: true, picture: picture{width: width, height: height}}, nil
}

type vp9Parser struct{}

func (vp9Parser) parse(payload []byte) (unit, error) {
	var header vp9.Header
	if err := header.Unmarshal(payload); err != nil {
		return unit{}, errGarbage
	}
	if header.NonKeyFrame || header.ShowExistingFrame {
		return unit{}, nil
	}
	width, height := header.Width(), header.Height()
	if !soundSize(width, height) {
		return unit{}, errGarbage
	}
	return unit{keyframe: true, picture: picture{width: width, height: height, vp9: header}}, nil
}

type opusParser struct{}

func (opusParser) parse(payload []byte) (unit, error) {
	samples := opus.PacketDuration2(payload)
	if samples <= 0 || samples > maxPacket {
		return unit{}, errGarbage
	}
	return unit{duration: time.Duration(samples) * time.Second / 48000}, nil
}
