package pipeline

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// ErrSource is wrapped by every error about what a user named as a source.
var ErrSource = errors.New("invalid source")

// DefaultAudio is the AudioSource that goes with the picture: the test tone
// with the test picture, the own sound of a file or an RTSP camera, and none
// with anything else: no microphone is opened that nobody asked for.
const DefaultAudio = "auto"

type sourceKind string

const (
	sourceNone   sourceKind = "none"
	sourceTest   sourceKind = "test"
	sourceV4L2   sourceKind = "v4l2"
	sourceRTSP   sourceKind = "rtsp"
	sourceFile   sourceKind = "file"
	sourceScreen sourceKind = "screen"
	sourceLaunch sourceKind = "launch"
	sourcePulse  sourceKind = "pulse"
	sourceALSA   sourceKind = "alsa"
	// sourceSame is the sound that comes with the picture.
	sourceSame sourceKind = "source"
	sourceAuto sourceKind = DefaultAudio
)

// Source is where pictures or sound come from. The zero value is none.
type Source struct {
	kind sourceKind
	// argument is the device, the URL, the path or the fragment.
	argument string
}

// String is the source as users name it, for logs that others may read: URLs and
// fragments may have passwords anywhere, in the path too, so that no more of them
// is told than which camera or element it is.
func (s Source) String() string {
	switch s.kind {
	case "":
		return string(sourceNone)
	case sourceRTSP:
		if u, err := url.Parse(s.argument); err == nil {
			return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
		}
	case sourceLaunch:
		return "launch:" + firstElement.FindString(s.argument) + " ..."
	case sourceV4L2, sourceFile, sourceALSA:
		return string(s.kind) + ":" + s.argument
	}
	return string(s.kind)
}

// firstElement matches the name of the first element of a fragment.
var firstElement = regexp.MustCompile(`[A-Za-z][\w-]*`)

// slate is what peers read while the source is lost, with nothing secret in it.
func (s Source) slate() string {
	what, which := "Source lost", ""
	switch s.kind {
	case sourceRTSP:
		what, which = "Camera lost", ": "+s.String()
	case sourceV4L2:
		what, which = "Camera lost", ": "+s.argument
	case sourceFile:
		what, which = "File lost", ": "+filepath.Base(s.argument)
	case sourceScreen:
		what = "Screen lost"
	}
	return strings.ToValidUTF8(what+which+" - trying again", "?")
}

// None says that there is nothing to capture.
func (s Source) None() bool { return s.kind == "" || s.kind == sourceNone }

// ParseVideo reads a video source: test, v4l2:DEVICE, rtsp://…, file:PATH,
// screen, launch:FRAGMENT or none.
func ParseVideo(text string) (Source, error) {
	const usage = "want test, v4l2:/dev/videoN, rtsp://HOST/PATH, file:PATH, screen, launch:FRAGMENT or none"
	kind, argument := split(text)
	switch kind {
	case sourceNone, sourceTest, sourceScreen:
		if argument == "" {
			return Source{kind: kind}, nil
		}
	case sourceV4L2, sourceFile, sourceLaunch, sourceRTSP:
		if argument != "" {
			s := Source{kind: kind, argument: argument}
			return s, s.check()
		}
	}
	return Source{}, fmt.Errorf("%w %q: %s", ErrSource, text, usage)
}

// ParseAudio reads an audio source: auto, test, pulse, pulse:DEVICE, alsa:DEVICE,
// source (the sound of the RTSP camera or the file), launch:FRAGMENT or none.
func ParseAudio(text string) (Source, error) {
	const usage = "want auto, test, pulse, pulse:DEVICE, alsa:DEVICE, source, launch:FRAGMENT or none"
	kind, argument := split(text)
	switch kind {
	case sourceNone, sourceTest, sourceSame, sourceAuto:
		if argument == "" {
			return Source{kind: kind}, nil
		}
	case sourcePulse:
		return Source{kind: kind, argument: argument}, nil
	case sourceALSA, sourceLaunch:
		if argument != "" {
			return Source{kind: kind, argument: argument}, nil
		}
	}
	return Source{}, fmt.Errorf("%w %q: %s", ErrSource, text, usage)
}

func split(text string) (sourceKind, string) {
	if strings.HasPrefix(text, "rtsp://") || strings.HasPrefix(text, "rtsps://") {
		return sourceRTSP, text
	}
	kind, argument, _ := strings.Cut(text, ":")
	if kind == string(sourceRTSP) {
		return "", "" // rtsp:something is not a URL
	}
	return sourceKind(kind), argument
}

// check finds out what can be known before the source is opened.
func (s Source) check() error {
	switch s.kind {
	case sourceFile:
		return checkFile(s.argument)
	case sourceV4L2:
		if _, err := os.Stat(s.argument); err != nil {
			return fmt.Errorf("%w: no camera %s: ls /dev/video* shows what there is", ErrSource, s.argument)
		}
	case sourceRTSP:
		if u, err := url.Parse(s.argument); err != nil || u.Host == "" {
			return fmt.Errorf("%w: %q has no host: want rtsp://USER:PASSWORD@HOST/PATH", ErrSource, s)
		}
	}
	return nil
}

func checkFile(path string) error {
	if !utf8.ValidString(path) {
		return fmt.Errorf("%w: GStreamer cannot open a name that is not UTF-8: rename %q", ErrSource, path)
	}
	stat, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: %w: check the path", ErrSource, err)
	}
	if !stat.Mode().IsRegular() { // to open a pipe would wait for its writer
		return fmt.Errorf("%w: %s is a directory or a device: name a media file", ErrSource, path)
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w: check that you may read it", ErrSource, err)
	}
	return file.Close()
}

// resolveAudio turns auto and source into what they mean for a picture.
func resolveAudio(audio, video Source) (Source, error) {
	ownSound := video.kind == sourceRTSP || video.kind == sourceFile
	switch {
	case audio.kind == sourceSame && !ownSound:
		return Source{}, fmt.Errorf("%w \"source\": it is the sound of a file or an RTSP camera, and the picture is %q", ErrSource, video)
	case audio.kind != sourceAuto:
		return audio, nil
	case ownSound:
		return Source{kind: sourceSame}, nil
	case video.kind == sourceTest:
		return Source{kind: sourceTest}, nil
	}
	return Source{kind: sourceNone}, nil
}
