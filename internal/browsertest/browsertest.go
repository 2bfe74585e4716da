// Package browsertest runs tests in Chromium and Firefox: one headless browser of
// each for all the tests of a package, and a page in a profile of its own for each.
//
// Their autoplay policies are those of a user's browser: sound begins with a click.
// Without the browser tests are skipped, or fail where GSTPEER_REQUIRE_BROWSER is 1.
package browsertest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gstpeer/gstpeer/internal/proctest"
)

// Patience is how long anything that has to happen may take: the machine may be
// busy.
const Patience = proctest.Patience

// InsecureHost is a name of 127.0.0.1 which Chromium does not trust as it does
// localhost.
const InsecureHost = "relay.test"

const pollInterval = 50 * time.Millisecond

// Main runs the tests of a package and then ends the browsers. It returns the
// exit code, for TestMain: goroutines that the tests left over are a failure.
func Main(m *testing.M) int {
	code := m.Run()
	chromium.stop()
	if err := firefox.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "Firefox:", err)
		code = max(code, 1)
	}
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goroutines left over:", err)
		return 1
	}
	return 0
}

// require ends the test if its browser did not start.
func require(t testing.TB, browser string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("GSTPEER_REQUIRE_BROWSER") == "1":
		t.Fatalf("%s is required here: %v", browser, err)
	default:
		t.Skipf("no %s: %v", browser, err)
	}
}
