package pipeline

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"

	"github.com/go-gst/go-gst/gst"
)

// ErrDevices is for a search that some device driver or sound server holds up.
var ErrDevices = errors.New("the search for devices does not end: does a sound server hang?")

// Device is something that can be captured.
type Device struct {
	What   string // camera, microphone or screen
	Name   string // as its maker calls it
	Kind   Kind
	Source string // what ParseVideo or ParseAudio takes for it
}

// sourceElements are the elements that sources of ours stand for.
var sourceElements = map[string]sourceKind{"v4l2src": sourceV4L2, "alsasrc": sourceALSA, "pulsesrc": sourcePulse}

// Devices lists the cameras, the microphones and the screen of this machine.
func Devices(log *slog.Logger) ([]Device, error) {
	initialize()
	found := make(chan []Device, 1)
	if !within(log, "search for devices", func() { found <- monitoredDevices() }) {
		return nil, ErrDevices
	}
	devices := <-found
	if display := os.Getenv("DISPLAY"); display != "" && screenOpens(log) {
		devices = append(devices, Device{What: "screen", Name: "X11 display " + display, Kind: Video, Source: string(sourceScreen)})
	}
	slices.SortStableFunc(devices, func(a, b Device) int { return cmp.Compare(a.What, b.What) })
	return devices, nil
}

func monitoredDevices() []Device {
	var devices []Device
	for class, kind := range map[string]Kind{"Video/Source": Video, "Audio/Source": Audio} {
		monitor := gst.NewDeviceMonitor()
		monitor.AddFilter(class, gst.NewAnyCaps())
		for _, d := range monitor.GetDevices() {
			if source, ok := sourceOf(d); ok {
				what := "camera"
				if kind == Audio {
					what = "microphone"
				}
				devices = append(devices, Device{What: what, Name: d.GetDisplayName(), Kind: kind, Source: source})
			}
		}
	}
	return devices
}

// sourceOf is how users name a device, if one of our sources can open it.
func sourceOf(d *gst.Device) (string, bool) {
	element := d.CreateElement("")
	if element == nil {
		return "", false
	}
	defer release(element.Object)
	kind, ours := sourceElements[element.GetFactory().GetName()]
	if !ours {
		return "", false
	}
	name, err := element.GetProperty("device")
	device, isText := name.(string)
	return string(kind) + ":" + device, err == nil && isText && device != ""
}

// screenOpens says whether there is an X server at $DISPLAY that lets us in.
func screenOpens(log *slog.Logger) bool {
	if requireElements("ximagesrc") != nil {
		return false
	}
	p, err := gst.NewPipelineFromString("ximagesrc num-buffers=1 ! fakesink")
	if err != nil || startPipeline(log, "screen", p) != nil {
		return false
	}
	stopPipeline(log, "screen", p)
	return true
}

// Requirement is something that a Config needs of this machine.
type Requirement struct {
	What string
	// Err says what is missing, and what to do; nil if nothing is.
	Err error
	// Optional is true if it can be done without.
	Optional bool
}

// Examine finds out whether this machine has all that a Config needs. It opens the
// source for a moment.
func Examine(ctx context.Context, c Config) []Requirement {
	initialize()
	setDefaults(&c)
	all := []Requirement{
		{What: GStreamerVersion() + ", base elements", Err: requireElements(baseElements...)},
		{What: "WebRTC elements", Err: requireElements(webrtcElements...)},
	}
	specs, err := captureSpecs(c)
	if err != nil {
		return append(all, Requirement{What: "sources", Err: err})
	}
	for _, spec := range specs {
		for _, kind := range spec.kinds {
			all = append(all, examineEncoders(c, kind)...)
		}
	}
	for _, r := range all {
		if r.Err != nil && !r.Optional {
			return all // opening would only say so again
		}
	}
	c.Record = Recording{}
	p, err := Open(ctx, c, nil) // which is never used: there are no peers
	for _, spec := range specs {
		all = append(all, Requirement{What: spec.name + " opens", Err: err})
		if err != nil {
			break // it says which
		}
	}
	if err == nil {
		p.Close()
	} else if len(specs) == 0 {
		all = append(all, Requirement{What: "what is received can be used", Err: err})
	}
	return all
}

// examineEncoders looks for the encoders of a kind: one will do.
func examineEncoders(c Config, kind Kind) []Requirement {
	codecs := []*Codec{Opus}
	if kind == Video {
		codecs = c.Codecs
	}
	var all []Requirement
	works := false
	for _, codec := range codecs {
		r := Requirement{What: "encoder for " + codec.Name, Err: requireElements(codec.payloader)}
		encoders, err := encoderPipelines(codec, c)
		if err != nil {
			r.Err = err
		}
		for i, encoder := range encoders {
			r.What += [2]string{": ", ", else "}[min(i, 1)] + encoder.name
		}
		works = works || r.Err == nil
		all = append(all, r)
	}
	for i := range all {
		all[i].Optional = works
	}
	return all
}
