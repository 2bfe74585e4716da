package record

import (
	"bytes"
	"encoding/binary"
	"iter"
	"reflect"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

const (
	maxSPS          = 32  // identifiers, ITU-T H.264, 7.4.2.1.1
	maxPPS          = 256 // 7.4.2.2
	maxParameterSet = 4 << 10
	// idsOfSlice is more than what a slice says before its PPS's identifier takes.
	idsOfSlice = 32
)

var startCode = []byte{0, 0, 1}

// nalUnits are those of an access unit as Annex B has it. The parser of
// mediacommon takes up to 50 of them; an encoder that makes slices of the size of
// a packet has more in one keyframe.
func nalUnits(payload []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := bytes.Index(payload, startCode)
		if i < 0 || len(bytes.TrimLeft(payload[:i], "\x00")) > 0 {
			return // it does not begin with a start code
		}
		for i >= 0 {
			payload = payload[i+len(startCode):]
			i = bytes.Index(payload, startCode)
			nal := payload
			if i >= 0 {
				nal = payload[:i]
			}
			nal = bytes.TrimRight(nal, "\x00") // trailing_zero_8bits and zero_byte
			if len(nal) > 0 && !yield(nal) {
				return
			}
		}
	}
}

// appendLengthPrefixed adds an access unit as ISO/IEC 14496-15 has it, in
// Matroska and MP4.
func appendLengthPrefixed(b, payload []byte) []byte {
	for nal := range nalUnits(payload) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(nal)))
		b = append(b, nal...)
	}
	return b
}

// h264Parser knows the parameter sets that came so far. They may come in any
// access unit before the one that uses them.
type h264Parser struct {
	sps map[uint32][]byte
	pps map[uint32]ppsOf
	// picture is that of the last keyframe, so that its SPS is read only once.
	picture picture
}

type ppsOf struct {
	sps uint32
	nal []byte
}

func (p *h264Parser) parse(payload []byte) (unit, error) {
	var u unit
	found := false
	for nal := range nalUnits(payload) {
		found = true
		switch h264.NALUType(nal[0] & 0x1f) {
		case h264.NALUTypeSPS:
			p.addSPS(nal)
		case h264.NALUTypePPS:
			p.addPPS(nal)
		case h264.NALUTypeIDR:
			if !u.keyframe && p.activate(nal) {
				u.keyframe, u.picture = true, p.picture
			}
		}
	}
	if !found {
		return unit{}, errGarbage
	}
	return u, nil
}

func (p *h264Parser) addSPS(nal []byte) {
	if len(nal) < 5 || len(nal) > maxParameterSet {
		return
	}
	ids, ok := golombs(nal[4:], 1) // after profile and level
	if !ok || ids[0] >= maxSPS || bytes.Equal(p.sps[ids[0]], nal) {
		return
	}
	if p.sps == nil {
		p.sps = make(map[uint32][]byte)
	}
	p.sps[ids[0]] = bytes.Clone(nal)
}

func (p *h264Parser) addPPS(nal []byte) {
	if len(nal) > maxParameterSet {
		return
	}
	ids, ok := golombs(nal[1:], 2)
	if !ok || ids[0] >= maxPPS || bytes.Equal(p.pps[ids[0]].nal, nal) {
		return
	}
	if p.pps == nil {
		p.pps = make(map[uint32]ppsOf)
	}
	p.pps[ids[0]] = ppsOf{ids[1], bytes.Clone(nal)}
}

// activate finds the parameter sets of a slice of a keyframe, and says whether a
// decoder could start with them.
func (p *h264Parser) activate(slice []byte) bool {
	ids, ok := golombs(slice[1:min(len(slice), idsOfSlice)], 3) // first_mb_in_slice, slice_type
	if !ok {
		return false
	}
	pps := p.pps[ids[2]]
	sps := p.sps[pps.sps]
	if pps.nal == nil || sps == nil {
		return false
	}
	if bytes.Equal(sps, p.picture.sps) && bytes.Equal(pps.nal, p.picture.pps) {
		return true
	}
	next := picture{sps: sps, pps: pps.nal}
	if err := next.parsedSPS.Unmarshal(sps); err != nil {
		return false
	}
	next.width, next.height = next.parsedSPS.Width(), next.parsedSPS.Height()
	if !soundSize(next.width, next.height) {
		return false
	}
	p.picture = next
	return true
}

// golombs reads unsigned Exp-Golomb codes from the beginning of a payload.
func golombs(payload []byte, count int) ([3]uint32, bool) {
	var values [3]uint32
	payload = h264.EmulationPreventionRemove(payload[:min(len(payload), idsOfSlice)])
	position := 0
	for i := range count {
		var err error
		if values[i], err = bits.ReadGolombUnsigned(payload, &position); err != nil {
			return values, false
		}
	}
	return values, true
}

// sameParameters tells whether a decoder that was set up for one picture takes
// the other. Encoders such as OpenH264 give each keyframe's parameter sets new
// identifiers: those are in the stream as well, and no reason for a new file.
func (p picture) sameParameters(other picture) bool {
	if bytes.Equal(p.sps, other.sps) && bytes.Equal(p.pps, other.pps) {
		return true
	}
	a, b := p.parsedSPS, other.parsedSPS
	a.ID, b.ID = 0, 0
	return reflect.DeepEqual(a, b) && ppsBody(p.pps) == ppsBody(other.pps)
}

// ppsBody is a PPS without its identifiers, a character for each bit.
func ppsBody(nal []byte) string {
	if len(nal) == 0 {
		return ""
	}
	payload := h264.EmulationPreventionRemove(nal[1:])
	position := 0
	for range 2 {
		if _, err := bits.ReadGolombUnsigned(payload, &position); err != nil {
			return ""
		}
	}
	body := make([]byte, 0, len(payload)*8-position)
	for position < len(payload)*8 {
		bit := byte('0')
		if bits.ReadFlagUnsafe(payload, &position) {
			bit = '1'
		}
		body = append(body, bit)
	}
	return string(bytes.TrimRight(body, "0")) // what follows the stop bit is alignment
}
