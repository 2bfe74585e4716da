package pipeline

import (
	"fmt"
	"strings"
	"time"
)

// captureSpec describes one capture pipeline.
type captureSpec struct {
	// name is what an error calls it.
	name string
	// hint is what a user can do when it fails.
	hint string
	// launch is the gst-launch description; each kind it delivers ends in an
	// appsink named after the kind.
	launch string
	// alone is launch without the optional kind.
	alone string
	// needs are elements whose absence is worth a better message than GStreamer's.
	needs []string
	// kinds are what it delivers; optional says which of them may not be there.
	kinds    []Kind
	optional Kind
	// loop starts it again at its end.
	loop bool
	// pauses says that it may deliver nothing for a while and be well, unless it
	// declares a frame rate.
	pauses bool
	// slate is what peers read while it is lost.
	slate string
}

// watched says whether a source with that time between frames is lost when none
// come: 0 is that of one which declares none. A file is as regular as its author
// wanted it.
func (s captureSpec) watched(interval time.Duration) bool {
	return !s.loop && (interval > 0 || !s.pauses)
}

// captureSpecs plans the capture pipelines for a configuration.
func captureSpecs(c Config) ([]captureSpec, error) {
	audio, err := resolveAudio(c.Audio, c.Video)
	if err != nil {
		return nil, err
	}
	var specs []captureSpec
	if !c.Video.None() {
		specs = append(specs, videoSpec(c, audio.kind == sourceSame, c.Audio.kind == sourceAuto))
	}
	if !audio.None() && audio.kind != sourceSame {
		specs = append(specs, audioSpec(audio))
	}
	return specs, nil
}

// videoSpec is the capture of the picture, and of the sound that comes with it.
func videoSpec(c Config, withSound, soundOptional bool) captureSpec {
	s := captureSpec{name: "video source " + c.Video.String(), kinds: []Kind{Video}, slate: c.Video.slate()}
	sync, sound := false, ""
	arg := c.Video.argument
	own := fmt.Sprintf("! decodebin ! queue max-size-buffers=4 %s", videoTail(c))
	switch c.Video.kind {
	case sourceTest:
		s.needs = []string{"videotestsrc"}
		s.launch = fmt.Sprintf("videotestsrc is-live=true pattern=smpte75 horizontal-speed=1 ! video/x-raw,format=I420,width=%d,height=%d,framerate=%d/1",
			orElse(c.Width, 1280), orElse(c.Height, 720), c.FrameRate)
		if requireElements("timeoverlay") == nil { // in the package gstreamer1.0-x
			s.launch += " ! timeoverlay halignment=center valignment=center"
		}
	case sourceV4L2:
		s.needs = []string{"v4l2src"}
		s.hint = "check the device, that no other program has it, and that you may read it (group video)"
		s.launch = fmt.Sprintf("v4l2src device=%s ! %s %s", quote(arg), cameraCaps(c), own)
	case sourceScreen:
		s.needs = []string{"ximagesrc"}
		s.hint = "it needs an X11 display: set DISPLAY"
		s.launch = fmt.Sprintf("ximagesrc use-damage=false show-pointer=true ! video/x-raw,framerate=%d/1 %s", c.FrameRate, videoTail(c))
	case sourceLaunch:
		sync, s.pauses = true, true // a fragment need not be live; one that is loses no time by it
		s.hint = "try it with gst-launch-1.0 and \"! autovideosink\" at its end"
		s.launch = arg + " " + own
	case sourceRTSP:
		s.needs = []string{"rtspsrc"}
		s.hint = "check address, user and password"
		s.launch = fmt.Sprintf("rtspsrc name=in latency=100 location=%s in. ! application/x-rtp,media=video %s", quote(arg), own)
		sound = "in. ! application/x-rtp,media=audio ! decodebin ! queue " + audioTail
	case sourceFile:
		s.loop, sync = true, true
		s.hint = "is it a video file, and is its decoder installed (gstreamer1.0-libav)?"
		s.launch = fmt.Sprintf("filesrc location=%s ! decodebin name=in in. ! queue %s", quote(arg), videoTail(c))
		sound = "in. ! queue " + audioTail
	}
	s.launch += " " + appsink(Video, sync)
	if withSound {
		s.kinds = append(s.kinds, Audio)
		if soundOptional {
			s.optional, s.alone = Audio, s.launch
		}
		s.launch += " " + sound + " " + appsink(Audio, sync)
	}
	return s
}

// audioSpec is the capture of sound alone.
func audioSpec(audio Source) captureSpec {
	s := captureSpec{name: "audio source " + audio.String(), kinds: []Kind{Audio}}
	sync := false
	switch audio.kind {
	case sourceTest:
		s.needs = []string{"audiotestsrc"}
		s.launch = "audiotestsrc is-live=true samplesperbuffer=480 wave=ticks volume=0.4"
	case sourcePulse:
		s.needs = []string{"pulsesrc"}
		s.hint = "is PulseAudio or PipeWire running for this user? pactl info tells"
		s.launch = "pulsesrc buffer-time=40000 latency-time=10000"
		if audio.argument != "" {
			s.launch += " device=" + quote(audio.argument)
		}
	case sourceALSA:
		s.needs = []string{"alsasrc"}
		s.hint = "check the device (arecord -L lists them) and that you may read it (group audio)"
		s.launch = "alsasrc buffer-time=40000 latency-time=10000 device=" + quote(audio.argument)
	case sourceLaunch:
		sync = true // as with pictures
		s.hint = "try it with gst-launch-1.0 and \"! autoaudiosink\" at its end"
		s.launch = audio.argument + " ! decodebin"
	}
	s.launch += " ! queue " + audioTail + " " + appsink(Audio, sync)
	return s
}

// cameraCaps ask a camera for a picture no larger than wanted: without them
// some deliver their largest at two frames a second. A camera that has none so
// small may deliver what it has, to be scaled.
func cameraCaps(c Config) string {
	size := fmt.Sprintf("width=(int)[1,%d],height=(int)[1,%d],framerate=(fraction)[1/1,%d/1]",
		orElse(c.Width, 1280), orElse(c.Height, 720), c.FrameRate)
	return fmt.Sprintf("capsfilter caps=\"video/x-raw,%s;image/jpeg,%[1]s;video/x-h264,%[1]s;video/x-raw;image/jpeg;video/x-h264\"", size)
}

// videoTail gives pictures the wanted size, and drops those that come faster
// than wanted; it never waits for a next one.
func videoTail(c Config) string {
	size := dimension("width", c.Width) + dimension("height", c.Height)
	return fmt.Sprintf("! videorate drop-only=true max-rate=%d ! videoconvert ! videoscale add-borders=true"+
		" ! video/x-raw,format=I420,pixel-aspect-ratio=1/1%s", c.FrameRate, size)
}

// dimension is a size in caps. The source's own is made even, without which no
// H.264 encoder starts.
func dimension(name string, pixels int) string {
	if pixels > 0 {
		return fmt.Sprintf(",%s=%d", name, pixels)
	}
	return fmt.Sprintf(",%s=(int)[2,16384,2]", name)
}

const audioTail = "! audioconvert ! audioresample ! audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2"

// appsink ends a branch. Only what is not live is paced by its timestamps.
func appsink(kind Kind, sync bool) string {
	return fmt.Sprintf("! appsink name=%s async=false sync=%t enable-last-sample=false max-buffers=8", kind, sync)
}

// quote makes a text one value of a gst-launch description.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

func orElse(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}
