package pipeline

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what a track carries (W3C MediaStreamTrack.kind).
type Kind string

// The kinds of media.
const (
	Video Kind = "video"
	Audio Kind = "audio"
)

// Codec is one way to encode a kind of media, with all that GStreamer and SDP
// need to know of it. There are only the values below.
type Codec struct {
	// Name is the one that users write and see: "vp8".
	Name string
	Kind Kind
	// EncodingName and ClockRate (Hz) are those of the RTP payload format.
	EncodingName string
	ClockRate    int

	// encoders are in the order of preference: the first one that is installed is
	// used, and the next one when that fails.
	encoders []encoderElement
	// frameCaps are the caps of what the last element of the fragment gives.
	frameCaps string
	// payloader is the element, payloaderOptions are its settings.
	payloader        string
	payloaderOptions string
	// depay makes whole frames of frameCaps of the RTP stream.
	depay string
	// decode makes raw media of frames; its elements are those of decoders.
	decode string
	// rtpCaps is what an offer of ours adds to media, encoding name and rate.
	rtpCaps string
	// offerPayload is the payload type that an offer of ours gives it, and
	// offerRTX the one of its retransmissions (RFC 4588), 0 for none.
	offerPayload int
	offerRTX     int
}

// The codecs. A picture is sent without B-frames and with keyframes on demand,
// and at the latest after ten seconds' worth of frames at the full frame rate.
var (
	// VP8 is what every WebRTC peer can decode (RFC 7742).
	VP8 = &Codec{
		Name: "vp8", Kind: Video, EncodingName: "VP8", ClockRate: 90000,
		encoders: []encoderElement{{
			launch: "vp8enc deadline=1 cpu-used=8 threads=1 end-usage=cbr undershoot=95 " +
				"buffer-size=600 buffer-initial-size=400 buffer-optimal-size=500 " +
				"min-quantizer=4 max-quantizer=56 static-threshold=100 lag-in-frames=0 " +
				"error-resilient=default keyframe-max-dist=%[2]d target-bitrate=%[1]d",
			bitrateUnit: 1,
		}},
		frameCaps:        "video/x-vp8",
		payloader:        "rtpvp8pay",
		payloaderOptions: "picture-id-mode=15-bit",
		depay:            "rtpvp8depay request-keyframe=true wait-for-keyframe=true",
		decode:           "vp8dec",
		offerPayload:     96, offerRTX: 97,
	}
	// VP9 is better at the same bitrate and costs more; profile 0 only.
	VP9 = &Codec{
		Name: "vp9", Kind: Video, EncodingName: "VP9", ClockRate: 90000,
		encoders: []encoderElement{{
			launch: "vp9enc deadline=1 cpu-used=8 threads=2 row-mt=true end-usage=cbr undershoot=95 " +
				"buffer-size=600 buffer-initial-size=400 buffer-optimal-size=500 " +
				"min-quantizer=4 max-quantizer=56 static-threshold=100 lag-in-frames=0 " +
				"error-resilient=default keyframe-max-dist=%[2]d target-bitrate=%[1]d",
			bitrateUnit: 1,
		}},
		frameCaps:        "video/x-vp9,profile=(string)0",
		payloader:        "rtpvp9pay",
		payloaderOptions: "picture-id-mode=15-bit",
		depay:            "rtpvp9depay request-keyframe=true wait-for-keyframe=true",
		decode:           "vp9dec",
		offerPayload:     98, offerRTX: 99,
	}
	// H264 is sent as constrained baseline, which is what all browsers with
	// H.264 share (RFC 7742), in packetization mode 1.
	H264 = &Codec{
		Name: "h264", Kind: Video, EncodingName: "H264", ClockRate: 90000,
		encoders:         h264Encoders,
		frameCaps:        "video/x-h264,stream-format=byte-stream,alignment=au",
		payloader:        "rtph264pay",
		payloaderOptions: "aggregate-mode=zero-latency",
		depay: "rtph264depay request-keyframe=true wait-for-keyframe=true ! h264parse config-interval=-1 " +
			"! video/x-h264,stream-format=byte-stream,alignment=au",
		decode:       "h264parse ! avdec_h264",
		rtpCaps:      `packetization-mode=(string)1,profile-level-id=(string)42e01f,level-asymmetry-allowed=(string)1`,
		offerPayload: 108, offerRTX: 109,
	}
	// Opus is 48 kHz stereo in frames of 20 ms, with in-band FEC.
	Opus = &Codec{
		Name: "opus", Kind: Audio, EncodingName: "OPUS", ClockRate: 48000,
		encoders: []encoderElement{{
			launch:      "opusenc frame-size=20 inband-fec=true packet-loss-percentage=5 bitrate=%[1]d",
			bitrateUnit: 1,
		}},
		frameCaps:    "audio/x-opus,channel-mapping-family=0,channels=2,rate=48000",
		payloader:    "rtpopuspay",
		depay:        "rtpopusdepay",
		decode:       "opusdec plc=true",
		rtpCaps:      `encoding-params=(string)2,sprop-stereo=(string)1,minptime=(string)10,useinbandfec=(string)1`,
		offerPayload: 111,
	}
)

// VideoCodecs is every codec for pictures, in the default order of preference.
var VideoCodecs = []*Codec{VP8, H264, VP9}

// parser is the fragment that makes whole frames of what the encoder gives.
func (c *Codec) parser() string {
	if c == H264 {
		return "! h264parse config-interval=-1 "
	}
	return ""
}

// depayLaunch is what takes an RTP stream of the codec up to an appsink.
func (c *Codec) depayLaunch() string {
	return c.depay + " ! appsink name=sink sync=false async=false enable-last-sample=false"
}

// decoders are the elements that decode needs.
func (c *Codec) decoders() []string {
	var names []string
	for fragment := range strings.SplitSeq(c.decode, " ! ") {
		name, _, _ := strings.Cut(fragment, " ")
		names = append(names, name)
	}
	return names
}

// caps describes the codec to webrtcbin as it answers with it: everything that
// is not named here it takes from the remote's offer.
func (c *Codec) caps(payload int, ssrc uint32) string {
	return fmt.Sprintf("application/x-rtp,media=%s,encoding-name=%s,clock-rate=%d,payload=%d,ssrc=(uint)%d",
		c.Kind, c.EncodingName, c.ClockRate, payload, ssrc)
}

// offerCaps describes all codecs of one m-line to webrtcbin as it offers them.
// It would offer retransmission for the first one only, and signals the SSRC
// once.
func offerCaps(codecs []*Codec, ssrc uint32) string {
	var caps, rtx []string
	for i, c := range codecs {
		text := fmt.Sprintf("application/x-rtp,media=%s,encoding-name=%s,clock-rate=%d,payload=%d", c.Kind, c.EncodingName, c.ClockRate, c.offerPayload)
		if c.rtpCaps != "" {
			text += "," + c.rtpCaps
		}
		if i == 0 {
			text += fmt.Sprintf(",ssrc=(uint)%d", ssrc)
		} else if c.offerRTX != 0 {
			rtx = append(rtx, fmt.Sprintf("application/x-rtp,media=%s,encoding-name=RTX,clock-rate=%d,payload=%d,apt=(string)%d",
				c.Kind, c.ClockRate, c.offerRTX, c.offerPayload))
		}
		caps = append(caps, text)
	}
	return strings.Join(append(caps, rtx...), ";")
}

// inactiveCaps match an m-line of an offer on which nothing shall be sent.
func inactiveCaps(s section) string {
	return fmt.Sprintf("application/x-rtp,media=%s", s.kind)
}

// payloaderCaps overrides what the payloader says of its stream. H.264 streams
// name the profile of their own, which would not match the one that was agreed
// on although it is contained in it.
func (c *Codec) payloaderCaps() string {
	if c == H264 {
		return "application/x-rtp,profile-level-id=(string)42e01f"
	}
	return "application/x-rtp"
}

// ParseVideoCodecs reads the names of codecs in an order of preference. Each may
// be there once.
func ParseVideoCodecs(names []string) ([]*Codec, error) {
	var codecs []*Codec
	for _, name := range names {
		i := slices.IndexFunc(VideoCodecs, func(c *Codec) bool { return c.Name == strings.ToLower(strings.TrimSpace(name)) })
		if i < 0 {
			return nil, fmt.Errorf("%q is not a codec for pictures here: want vp8, h264 or vp9", name)
		}
		if slices.Contains(codecs, VideoCodecs[i]) {
			return nil, fmt.Errorf("%s is there twice: name each codec once", VideoCodecs[i].Name)
		}
		codecs = append(codecs, VideoCodecs[i])
	}
	return codecs, nil
}
