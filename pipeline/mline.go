package pipeline

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// mline is one m-line of what was negotiated with a remote. Which one a track of
// ours is sent on is decided once; whether it is sent changes with what the
// remote wants. It is owned by the peer's loop.
type mline struct {
	index int
	kind  Kind // "" for data channels
	// rejected m-lines are not used at all.
	rejected bool
	// hopeless m-lines have no codec that is known here.
	hopeless bool
	// ours is true where a track of ours may be sent.
	ours bool
	// sends and receives are the direction, as we see it.
	sends, receives bool

	codec   *Codec // to send with; nil before it is known, and where nothing can be sent
	payload int
	ssrc    uint32
	feed    *feed
	frames  *Subscription // nil while nothing is sent

	payloads []payload // that the remote may send with
	repairs  []int     // payload types of retransmissions of these (RFC 4588)
	ssrcs    []uint32  // that it says it sends with
	incoming *Track    // nil while nothing is received that anybody wants
	source   *remoteSource

	since          time.Time // of when it was first spoken of
	sent, received frameCount
}

// direction is that of RFC 3264.
func (m *mline) direction() string {
	switch {
	case m.sends && m.receives:
		return "sendrecv"
	case m.sends:
		return "sendonly"
	case m.receives:
		return "recvonly"
	}
	return "inactive"
}

// pause ends the sending until play.
func (m *mline) pause() {
	if m.frames != nil {
		m.frames.Close()
		m.frames = nil
	}
}

// receivable lists what can be received of a kind, in the order of preference.
func (c Config) receivable(kind Kind) []*Codec {
	if kind == Audio {
		return []*Codec{Opus}
	}
	return union(c.Codecs, VideoCodecs)
}

// union is first, with what else second has.
func union(first, second []*Codec) []*Codec {
	all := slices.Clone(first)
	for _, codec := range second {
		if !slices.Contains(all, codec) {
			all = append(all, codec)
		}
	}
	return all
}

// received lists the payload types of an m-line that we can take.
func received(payloads []payload, codecs []*Codec) []payload {
	return slices.DeleteFunc(slices.Clone(payloads), func(p payload) bool { return codecOf(p, codecs) == nil })
}

// repairs lists the payload types that retransmit one of those that are taken.
func repairs(payloads, taken []payload) []int {
	var list []int
	for _, p := range payloads {
		repaired := func(t payload) bool { return strconv.Itoa(t.number) == p.parameters["apt"] }
		if strings.EqualFold(p.encoding, "rtx") && slices.ContainsFunc(taken, repaired) {
			list = append(list, p.number)
		}
	}
	return list
}

// codecOf is the codec of a payload type; nil if it is none of these.
func codecOf(p payload, codecs []*Codec) *Codec {
	i := slices.IndexFunc(codecs, func(c *Codec) bool { return c.score(p) > 0 })
	if i < 0 {
		return nil
	}
	return codecs[i]
}
