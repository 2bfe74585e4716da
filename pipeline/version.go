package pipeline

import "github.com/go-gst/go-gst/gst"

// GStreamerVersion says which GStreamer there is, and makes the list of its
// plugins if there is none yet.
func GStreamerVersion() string {
	initialize()
	core, err := gst.GetRegistry().FindPlugin("coreelements")
	if err != nil {
		return "GStreamer without plugins"
	}
	defer release(core.Object)
	return "GStreamer " + core.Version()
}
