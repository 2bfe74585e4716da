package pipeline

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/go-gst/go-gst/gst"
	"go.uber.org/goleak"
)

// TestMain proves that the tests left no goroutine and no webrtcbin. With
// GST_TRACERS=leaks GStreamer lists every object that is left as well.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left over:", err)
			code = 1
		}
		if n := webrtcbinsAlive(); n != 0 {
			fmt.Fprintln(os.Stderr, n, "webrtcbins left over")
			code = 1
		}
	}
	if os.Getenv("GST_TRACERS") != "" {
		runtime.GC() // the few objects that live as long as the process
		gst.Deinit()
	}
	os.Exit(code)
}
