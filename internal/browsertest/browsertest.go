// Package browsertest runs tests in Chromium: one headless browser for all the
// tests of a package, and a tab in a profile of its own for each.
//
// Its autoplay policy is that of a user's browser: sound begins with a click.
// Without Chromium tests are skipped, or fail where GSTPEER_REQUIRE_BROWSER is 1.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"
)

// Patience is how long anything that has to happen may take: the machine may be
// busy.
const Patience = 60 * time.Second

// InsecureHost is a name of 127.0.0.1 which the browser does not trust as it
// does localhost.
const InsecureHost = "relay.test"

const pollInterval = 50 * time.Millisecond

// chromium is the one browser of all the tests.
var chromium = struct {
	start sync.Once
	ctx   context.Context
	stop  func()
	err   error
}{stop: func() {}}

// Main runs the tests of a package and then ends the browser. It returns the
// exit code, for TestMain: goroutines that the tests left over are a failure.
func Main(m *testing.M) int {
	code := m.Run()
	chromium.stop()
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goroutines left over:", err)
		return 1
	}
	return 0
}

// require starts the browser if need be.
func require(t testing.TB) {
	t.Helper()
	chromium.start.Do(startChromium)
	switch {
	case chromium.err == nil:
	case os.Getenv("GSTPEER_REQUIRE_BROWSER") == "1":
		t.Fatalf("Chromium is required here: %v", chromium.err)
	default:
		t.Skipf("no Chromium: %v", chromium.err)
	}
}

func startChromium() {
	path, err := exec.LookPath("chromium")
	if err != nil {
		chromium.err = err
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // tests may run as root
		chromedp.DisableGPU,
		chromedp.WindowSize(1280, 800),
		chromedp.WSURLReadTimeout(Patience),
		chromedp.Flag("allow-loopback-in-peer-connection", true), // where only lo is up
		chromedp.Flag("autoplay-policy", "document-user-activation-required"),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("host-resolver-rules", "MAP "+InsecureHost+" 127.0.0.1"),
		chromedp.Flag("use-fake-device-for-media-stream", "device-count=2"),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
	)
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stopBrowser := chromedp.NewContext(allocator)
	chromium.ctx = ctx
	chromium.stop = func() {
		stopBrowser()
		stopAllocator()
		if browser := chromedp.FromContext(ctx).Allocator; browser != nil {
			browser.Wait()
		}
	}
	chromium.err = chromedp.Do(ctx)
}
