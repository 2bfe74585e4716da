package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pion/sdp/v3"

	"github.com/gstpeer/gstpeer/signalling"
)

// ErrDescription is wrapped by the error for a remote description that is
// refused before webrtcbin sees it: it trusts descriptions that it should not,
// and aborts the process on some.
var ErrDescription = errors.New("pipeline: remote description refused")

// What a remote description may hold. Browsers stay far below.
const (
	maxDescriptionSize = 256 << 10
	maxSections        = 32
	maxPayloads        = 128 // of one m-line: as many as there are payload types
	maxSSRCs           = 64  // of one m-line that are taken note of
)

// section is what matters here of one m-line of a remote description.
type section struct {
	kind Kind // "" for what is neither picture nor sound: a data channel
	mid  string
	// wants is true if the remote would receive on it, sends if it would send.
	wants, sends bool
	// rejected is true for an m-line that will not be used at all.
	rejected bool
	payloads []payload
	ssrcs    []uint32 // that the remote says it sends with
}

// payload is one payload type of an m-line, in the remote's order.
type payload struct {
	number     int
	encoding   string // "VP8", as the remote writes it
	clockRate  int
	parameters map[string]string // of a=fmtp
}

// session identifies a remote RTCPeerConnection by the origin of its
// descriptions (RFC 8866, section 5.2): another offer of it renegotiates, while
// a page that is loaded again has another one.
type session struct {
	username, address string
	id                uint64
}

// remoteDescription is a description of a remote peer that may be negotiated.
type remoteDescription struct {
	kind       signalling.SDPType
	parsed     *sdp.SessionDescription // without candidates
	sections   []section
	session    session
	ufrag      string // of the first m-line that is used; ICE restarts with another
	candidates []signalling.Candidate
}

// parseDescription reads a remote description and refuses what webrtcbin must
// not see: without a DTLS fingerprint (RFC 8842 requires one) anybody on the
// way could answer for the peer.
func parseDescription(d signalling.Description) (remoteDescription, error) {
	r := remoteDescription{kind: d.Type, parsed: new(sdp.SessionDescription)}
	if len(d.SDP) > maxDescriptionSize {
		return r, fmt.Errorf("%w: %d bytes, at most %d are accepted", ErrDescription, len(d.SDP), maxDescriptionSize)
	}
	if !utf8.ValidString(d.SDP) || strings.ContainsRune(d.SDP, 0) {
		return r, fmt.Errorf("%w: not text", ErrDescription)
	}
	parsed := r.parsed
	if err := parsed.UnmarshalString(d.SDP); err != nil {
		return r, fmt.Errorf("%w: not SDP: %.80s", ErrDescription, err)
	}
	if n := len(parsed.MediaDescriptions); n == 0 || n > maxSections {
		return r, fmt.Errorf("%w: %d m-lines, want 1 to %d", ErrDescription, n, maxSections)
	}
	if d.Type == signalling.Answer {
		completeRejected(parsed)
	}
	r.session = session{username: parsed.Origin.Username, address: parsed.Origin.UnicastAddress, id: parsed.Origin.SessionID}
	for i, media := range parsed.MediaDescriptions {
		s, err := parseSection(parsed, media)
		if err != nil {
			return r, fmt.Errorf("%w: m-line %d: %w", ErrDescription, i, err)
		}
		if slices.ContainsFunc(r.sections, func(other section) bool { return other.mid == s.mid }) {
			return r, fmt.Errorf("%w: m-line %d: its a=mid is there twice", ErrDescription, i)
		}
		if r.ufrag == "" && !s.rejected {
			r.ufrag = attribute(parsed, media, "ice-ufrag")
		}
		r.sections = append(r.sections, s)
		r.candidates = append(r.candidates, takeCandidates(media, i)...)
	}
	return r, checkBundle(parsed, r.sections)
}

// isChannelAlone says whether the remote wants nothing but data channels.
func (r remoteDescription) isChannelAlone() bool {
	return !slices.ContainsFunc(r.sections, func(s section) bool { return s.kind != "" || s.rejected })
}

// takeCandidates moves the candidates out of an m-line, so that all candidates
// go the same way.
func takeCandidates(media *sdp.MediaDescription, mline int) (candidates []signalling.Candidate) {
	media.Attributes = slices.DeleteFunc(media.Attributes, func(a sdp.Attribute) bool {
		if a.Key == "candidate" {
			candidates = append(candidates, signalling.Candidate{Candidate: "candidate:" + a.Value, SDPMLineIndex: uint16(mline)})
		}
		return a.Key == "candidate"
	})
	return candidates
}

// completeRejected gives the rejected m-lines of an answer what webrtcbin wants
// to see on each m-line. They need none of it (RFC 8829, section 5.3.1), and
// some peers leave it out.
func completeRejected(parsed *sdp.SessionDescription) {
	keys := []string{"ice-ufrag", "ice-pwd", "fingerprint", "setup"}
	model := &sdp.MediaDescription{}
	accepted := slices.IndexFunc(parsed.MediaDescriptions, func(m *sdp.MediaDescription) bool { return m.MediaName.Port.Value != 0 })
	if accepted >= 0 {
		model = parsed.MediaDescriptions[accepted]
	}
	for i, media := range parsed.MediaDescriptions {
		if _, complete := media.Attribute("mid"); complete || media.MediaName.Port.Value != 0 {
			continue
		}
		media.WithValueAttribute("mid", fmt.Sprintf("rejected%d", i)).WithPropertyAttribute("inactive")
		for _, key := range keys {
			if value, found := model.Attribute(key); found {
				media.WithValueAttribute(key, value)
			}
		}
	}
}

// checkBundle makes sure that a BUNDLE group (RFC 9143) names m-lines that exist.
func checkBundle(parsed *sdp.SessionDescription, sections []section) error {
	for _, a := range parsed.Attributes {
		mids, isBundle := strings.CutPrefix(a.Value, "BUNDLE")
		if a.Key != "group" || !isBundle {
			continue
		}
		for _, mid := range strings.Fields(mids) {
			if !slices.ContainsFunc(sections, func(s section) bool { return s.mid == mid }) {
				return fmt.Errorf("%w: BUNDLE names mid %.20q, which no m-line has", ErrDescription, mid)
			}
		}
	}
	return nil
}

func parseSection(parsed *sdp.SessionDescription, media *sdp.MediaDescription) (section, error) {
	var s section
	s.mid, _ = media.Attribute("mid")
	_, bundled := media.Attribute("bundle-only")
	s.rejected = media.MediaName.Port.Value == 0 && !bundled
	if s.mid == "" || strings.ContainsAny(s.mid, " \t") {
		return s, errors.New("no a=mid")
	}
	err := checkTransport(parsed, media, s.rejected)
	if err != nil {
		return s, err
	}
	switch kind := Kind(media.MediaName.Media); kind {
	case Audio, Video:
		s.kind = kind
		if s.payloads, err = payloads(media); err != nil {
			return s, err
		}
		s.sends, s.wants = directions(parsed, media)
		s.sends, s.wants = s.sends && !s.rejected, s.wants && !s.rejected
		s.ssrcs = ssrcs(media)
	case "application":
		if len(media.MediaName.Formats) != 1 {
			return s, errors.New("a data channel has one format")
		}
	default:
		return s, fmt.Errorf("unknown media %.20q", kind)
	}
	return s, nil
}

// checkTransport checks what a secure transport needs.
func checkTransport(parsed *sdp.SessionDescription, media *sdp.MediaDescription, rejected bool) error {
	_, atSession := parsed.Attribute("fingerprint")
	_, atMedia := media.Attribute("fingerprint")
	switch {
	case atSession && atMedia:
		// Which of them webrtcbin checks is not certain.
		return errors.New("DTLS fingerprints both for the session and for the m-line: give one of them")
	case rejected:
		return nil
	case !atSession && !atMedia:
		return errors.New("no DTLS fingerprint (a=fingerprint): media would not be safe")
	case attribute(parsed, media, "ice-ufrag") == "" || attribute(parsed, media, "ice-pwd") == "":
		return errors.New("no ICE credentials (a=ice-ufrag, a=ice-pwd)")
	}
	switch attribute(parsed, media, "setup") {
	case "actpass", "active", "passive":
		return nil
	}
	return errors.New("no usable a=setup")
}

// attribute is that of the m-line, or else of the session.
func attribute(parsed *sdp.SessionDescription, media *sdp.MediaDescription, key string) string {
	if value, found := media.Attribute(key); found {
		return value
	}
	value, _ := parsed.Attribute(key)
	return value
}

// directions says whether the m-line is for sending and for receiving (RFC 3264):
// sendrecv is what is meant when nothing is said.
func directions(parsed *sdp.SessionDescription, media *sdp.MediaDescription) (sends, receives bool) {
	for _, attribute := range []func(string) (string, bool){media.Attribute, parsed.Attribute} {
		for _, direction := range []string{"sendrecv", "sendonly", "recvonly", "inactive"} {
			if _, given := attribute(direction); given {
				return strings.HasPrefix(direction, "send"), strings.HasSuffix(direction, "recv") || direction == "recvonly"
			}
		}
	}
	return true, true
}

// ssrcs lists the sources that an m-line names (RFC 5576).
func ssrcs(media *sdp.MediaDescription) []uint32 {
	var list []uint32
	for _, a := range media.Attributes {
		if len(list) == maxSSRCs {
			break
		}
		if a.Key != "ssrc" {
			continue
		}
		number, _, _ := strings.Cut(a.Value, " ")
		if n, err := strconv.ParseUint(number, 10, 32); err == nil && !slices.Contains(list, uint32(n)) {
			list = append(list, uint32(n))
		}
	}
	return list
}

// payloads lists the payload types that have a name, in the remote's order.
func payloads(media *sdp.MediaDescription) ([]payload, error) {
	known := make(map[int]*payload)
	for _, a := range media.Attributes {
		if a.Key != "rtpmap" && a.Key != "fmtp" {
			continue
		}
		number, rest, _ := strings.Cut(a.Value, " ")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n > 127 {
			return nil, fmt.Errorf("a=%s:%.20q is not about a payload type", a.Key, a.Value)
		}
		p := known[n]
		if p == nil {
			p = &payload{number: n, parameters: make(map[string]string)}
			known[n] = p
		}
		if a.Key == "rtpmap" {
			p.setName(rest)
		} else {
			p.setParameters(rest)
		}
	}
	if n := len(media.MediaName.Formats); n == 0 || n > maxPayloads {
		return nil, fmt.Errorf("%d payload types, want 1 to %d", n, maxPayloads)
	}
	var list []payload
	listed := make(map[int]bool)
	for _, format := range media.MediaName.Formats {
		n, err := strconv.Atoi(format)
		if err != nil {
			return nil, fmt.Errorf("format %.20q is not a payload type", format)
		}
		if listed[n] {
			return nil, fmt.Errorf("payload type %d is there twice", n)
		}
		listed[n] = true
		if p := known[n]; p != nil && p.encoding != "" {
			list = append(list, *p)
		}
	}
	return list, nil
}

func (p *payload) setName(rtpmap string) {
	name, rate, _ := strings.Cut(rtpmap, "/")
	rate, _, _ = strings.Cut(rate, "/")
	p.encoding = name
	p.clockRate, _ = strconv.Atoi(rate)
}

func (p *payload) setParameters(fmtp string) {
	for item := range strings.SplitSeq(fmtp, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		p.parameters[strings.ToLower(key)] = value
	}
}

// choose finds the first codec of ours, in the order of preference, that the
// remote has on an m-line, with the payload type to send it with.
func choose(preference []*Codec, s section) (*Codec, payload, bool) {
	for _, codec := range preference {
		if codec.Kind != s.kind {
			continue
		}
		var best payload
		bestScore := 0
		for _, p := range s.payloads {
			if score := codec.score(p); score > bestScore {
				best, bestScore = p, score
			}
		}
		if bestScore > 0 {
			return codec, best, true
		}
	}
	return nil, payload{}, false
}

// score says how well what we send fits a payload type: 0 not at all.
func (c *Codec) score(p payload) int {
	if !strings.EqualFold(c.EncodingName, p.encoding) || c.ClockRate != p.clockRate {
		return 0
	}
	if c != H264 {
		return 1
	}
	// RFC 6184: without a profile it is baseline; without a mode it is 0.
	profile := strings.ToLower(p.parameters["profile-level-id"])
	switch {
	case p.parameters["packetization-mode"] != "1":
		return 0
	case strings.HasPrefix(profile, "42e0") || strings.HasPrefix(profile, "42c0"):
		return 2
	case strings.HasPrefix(profile, "42") || profile == "":
		return 1
	}
	return 0
}
