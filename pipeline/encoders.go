package pipeline

import (
	"cmp"
	"fmt"
	"strings"
)

// encoderElement is one way to encode for a codec.
type encoderElement struct {
	// launch is a gst-launch fragment that begins with the element. %[1]d is the
	// bitrate in the unit of the element, which is bits per second / bitrateUnit,
	// %[2]d the greatest number of frames between keyframes.
	launch      string
	bitrateUnit int
	// longestGroup is the greatest number of frames between keyframes that the
	// element takes; 0 for any.
	longestGroup int
}

// constrainedBaseline is what browsers share. Some encoders only say baseline of
// what is that.
const constrainedBaseline = " ! video/x-h264,profile=(string){constrained-baseline,baseline}"

// h264Encoders are those of the hardware, which are there only where it is, and
// then those that always run. All are set for live use: constant bitrate, no
// B-frames, and keyframes on demand, which they insert at once.
var h264Encoders = []encoderElement{{
	launch:      "vah264enc rate-control=cbr bitrate=%[1]d key-int-max=%[2]d b-frames=0 ref-frames=1 cabac=false dct8x8=false" + constrainedBaseline,
	bitrateUnit: 1000, longestGroup: 1024,
}, {
	launch:      "vah264lpenc rate-control=cbr bitrate=%[1]d key-int-max=%[2]d b-frames=0 ref-frames=1 cabac=false dct8x8=false" + constrainedBaseline,
	bitrateUnit: 1000, longestGroup: 1024,
}, {
	launch:      "vaapih264enc rate-control=cbr bitrate=%[1]d keyframe-period=%[2]d max-bframes=0 refs=1 cabac=false dct8x8=false" + constrainedBaseline,
	bitrateUnit: 1000,
}, {
	// Of the level, those of some single-board computers have to be told.
	launch: `v4l2h264enc extra-controls="controls,video_bitrate_mode=(int)1,video_bitrate=(int)%[1]d,` +
		`video_gop_size=(int)%[2]d,h264_i_frame_period=(int)%[2]d,video_b_frames=(int)0,repeat_sequence_header=(int)1"` +
		` ! video/x-h264,level=(string)4,profile=(string){constrained-baseline,baseline}`,
	bitrateUnit: 1,
}, {
	launch:      "nvh264enc preset=low-latency-hq rc-mode=cbr zerolatency=true bitrate=%[1]d gop-size=%[2]d" + constrainedBaseline,
	bitrateUnit: 1000,
}, {
	launch:      "qsvh264enc low-latency=true rate-control=cbr bitrate=%[1]d gop-size=%[2]d b-frames=0 ref-frames=1" + constrainedBaseline,
	bitrateUnit: 1000,
}, {
	launch: "x264enc tune=zerolatency speed-preset=veryfast bframes=0 key-int-max=%[2]d " +
		"vbv-buf-capacity=600 bitrate=%[1]d ! video/x-h264,profile=constrained-baseline",
	bitrateUnit: 1000,
}, {
	launch: "openh264enc complexity=low gop-size=%[2]d rate-control=bitrate bitrate=%[1]d " +
		"! video/x-h264,profile=constrained-baseline",
	bitrateUnit: 1,
}}

// name is that of the element.
func (e encoderElement) name() string {
	name, _, _ := strings.Cut(e.launch, " ")
	return name
}

// fragment is launch with its numbers. Bitrate is in bits per second, keyframes
// come at the latest after keyframeDistance frames.
func (e encoderElement) fragment(bitrate, keyframeDistance int) string {
	if e.longestGroup > 0 {
		keyframeDistance = min(keyframeDistance, e.longestGroup)
	}
	if strings.Contains(e.launch, "%[2]d") {
		return fmt.Sprintf(e.launch, bitrate/e.bitrateUnit, keyframeDistance)
	}
	return fmt.Sprintf(e.launch, bitrate/e.bitrateUnit)
}

// encoderPipeline describes the whole pipeline of an encoder, which is named by
// its element.
type encoderPipeline struct{ name, text string }

// How many raw buffers may wait for an encoder that is held up. A picture that
// waits longer is better lost; sound is encoded in no time, and a piece of it that
// is lost is heard.
const (
	waitingPictures = 3
	waitingSounds   = 50 // of 10 ms, as most sources deliver
)

// encoderPipelines are those of the installed encoders for a codec, in the order
// of preference.
func encoderPipelines(codec *Codec, c Config) ([]encoderPipeline, error) {
	bitrate, convert, waiting := c.VideoBitrate, "videoconvert", waitingPictures
	if codec.Kind == Audio {
		bitrate, convert, waiting = c.AudioBitrate, "audioconvert", waitingSounds
	}
	elements := codec.encoders
	if other, given := c.encoders[codec]; given {
		elements = other
	}
	var installed []encoderPipeline
	var missing error // the first one that anybody can install
	for _, e := range elements {
		if err := requireElements(e.name()); err != nil {
			if _, known := debianPackages[e.name()]; known && missing == nil {
				missing = err
			}
			continue
		}
		text := fmt.Sprintf("appsrc name=in format=time is-live=true max-buffers=%d max-bytes=0 leaky-type=downstream ! %s ! %s %s! capsfilter caps=%q"+
			" ! appsink name=out async=false sync=false enable-last-sample=false",
			waiting, convert, e.fragment(bitrate*1000, 10*c.FrameRate), codec.parser(), codec.frameCaps)
		installed = append(installed, encoderPipeline{name: e.name(), text: text})
	}
	if len(installed) == 0 {
		return nil, cmp.Or(missing, ErrMissingElement)
	}
	return installed, nil
}
