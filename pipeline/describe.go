package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// webrtcbin 1.22 cannot change the direction of a transceiver, nor do without the
// m-line that it put its bundle on. So it is told that each m-line for picture
// or sound is used in both directions, for ever; what is true stands in the
// descriptions that the remote gets, and is kept to by what is pushed and by what
// is let in.

// maxMessageSize is the longest text on a data channel that a remote may send.
const maxMessageSize = 256 << 10

var directionKeys = []string{"sendrecv", "sendonly", "recvonly", "inactive"}

// forWebrtcbin is what webrtcbin is told of a remote description. Rejected
// m-lines of a bundle become used ones, after the model of those that earlier has:
// our offer, for an answer, or the last description that webrtcbin got.
func forWebrtcbin(r remoteDescription, earlier *sdp.SessionDescription) (string, error) {
	bundle := bundledMids(r.parsed)
	for i, media := range r.parsed.MediaDescriptions {
		s := r.sections[i]
		if s.rejected && bundle != nil && earlier != nil && i < len(earlier.MediaDescriptions) && s.kind != "" {
			bundle = append(bundle, s.mid)
			revive(media, earlier.MediaDescriptions[i], transport(r))
		}
		if s.kind != "" {
			setDirection(media, "sendrecv")
		}
	}
	setBundle(r.parsed, r.sections, bundle)
	text, err := r.parsed.Marshal()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrDescription, err)
	}
	return string(text), nil
}

// transport gives the attributes of the transport that the m-lines share.
func transport(r remoteDescription) []sdp.Attribute {
	var attributes []sdp.Attribute
	for i, media := range r.parsed.MediaDescriptions {
		if r.sections[i].rejected {
			continue
		}
		for _, key := range []string{"ice-ufrag", "ice-pwd", "fingerprint", "setup"} {
			if value, found := media.Attribute(key); found {
				attributes = append(attributes, sdp.NewAttribute(key, value))
			}
		}
		break
	}
	return attributes
}

// revive makes a rejected m-line a used one.
func revive(media, model *sdp.MediaDescription, transport []sdp.Attribute) {
	mid, _ := media.Attribute("mid")
	media.MediaName.Port = sdp.RangedPort{Value: 9}
	media.MediaName.Protos = slices.Clone(model.MediaName.Protos)
	media.MediaName.Formats = slices.Clone(model.MediaName.Formats)
	media.Attributes = nil
	for _, a := range model.Attributes {
		switch a.Key {
		case "rtpmap", "fmtp", "rtcp-fb", "rtcp-mux", "rtcp-rsize":
			media.Attributes = append(media.Attributes, a)
		}
	}
	media.Attributes = append(media.Attributes, sdp.NewAttribute("mid", mid))
	media.Attributes = append(media.Attributes, transport...)
}

func setDirection(media *sdp.MediaDescription, direction string) {
	media.Attributes = slices.DeleteFunc(media.Attributes, func(a sdp.Attribute) bool { return slices.Contains(directionKeys, a.Key) })
	media.Attributes = append(media.Attributes, sdp.NewPropertyAttribute(direction))
}

// bundledMids lists the m-lines of the BUNDLE group (RFC 9143), nil without one.
func bundledMids(parsed *sdp.SessionDescription) []string {
	for _, a := range parsed.Attributes {
		if mids, isBundle := strings.CutPrefix(a.Value, "BUNDLE"); a.Key == "group" && isBundle {
			return append([]string{}, strings.Fields(mids)...)
		}
	}
	return nil
}

// setBundle writes the BUNDLE group in the order of the m-lines, which is what
// webrtcbin's own descriptions have.
func setBundle(parsed *sdp.SessionDescription, sections []section, mids []string) {
	if mids == nil {
		return
	}
	ordered := "BUNDLE"
	for _, s := range sections {
		if slices.Contains(mids, s.mid) {
			ordered += " " + s.mid
		}
	}
	for i, a := range parsed.Attributes {
		if a.Key == "group" && strings.HasPrefix(a.Value, "BUNDLE") {
			parsed.Attributes[i].Value = ordered
		}
	}
}

// forRemote is what a remote is told of a description of ours: the directions
// that m-lines really have, and the candidates that it may know.
func forRemote(text string, mlines []*mline, network Network) (string, error) {
	var parsed sdp.SessionDescription
	if err := parsed.UnmarshalString(text); err != nil {
		return "", fmt.Errorf("description by webrtcbin: %w", err)
	}
	if len(parsed.MediaDescriptions) != len(mlines) {
		return "", fmt.Errorf("description by webrtcbin: %d m-lines, want %d", len(parsed.MediaDescriptions), len(mlines))
	}
	bundle := bundledMids(&parsed)
	sections := make([]section, len(mlines))
	for i, media := range parsed.MediaDescriptions {
		sections[i].mid, _ = media.Attribute("mid")
		mlines[i].write(media)
		if mlines[i].rejected {
			bundle = slices.DeleteFunc(bundle, func(mid string) bool { return mid == sections[i].mid })
		}
		network.tellCandidates(media)
	}
	setBundle(&parsed, sections, bundle)
	told, err := parsed.Marshal()
	return string(told), err
}

// write makes an m-line of ours say what is true.
func (m *mline) write(media *sdp.MediaDescription) {
	switch {
	case m.kind == "":
		if !m.rejected {
			media.Attributes = append(media.Attributes, sdp.NewAttribute("max-message-size", fmt.Sprint(maxMessageSize)))
		}
	default:
		setDirection(media, m.direction())
	}
	if m.rejected {
		media.MediaName.Port.Value = 0
	}
	if !m.sends {
		media.Attributes = slices.DeleteFunc(media.Attributes, func(a sdp.Attribute) bool {
			return a.Key == "ssrc" || a.Key == "ssrc-group" || a.Key == "msid"
		})
	}
}
