package browsertest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Tab is one page in a profile of its own. Its methods end the test when they
// fail, and are for the test's goroutine. A test that failed logs what the user
// would see, and what the console says; where GSTPEER_SCREENSHOTS names a
// directory, its pictures are there.
type Tab struct {
	t      testing.TB
	driver driver

	mu      sync.Mutex
	console []string // guarded by mu
}

const (
	clicks     = 5                      // how often one is tried
	clickTakes = 200 * time.Millisecond // until one arrives that does
)

// driver does what a user and a developer do with a page, in some browser. All of
// it takes Patience at most.
type driver interface {
	navigate(url string) error
	reload() error
	click(selector string) error
	resize(width, height int) error
	screenshot() (png []byte, err error)
	evaluate(expression string) (json.RawMessage, error)
}

// Browser opens the pages of tests.
type Browser struct {
	Name string
	Open func(t testing.TB, url string, scripts ...string) *Tab
}

var (
	Chromium = Browser{"Chromium", Open}
	Firefox  = Browser{"Firefox", OpenFirefox}

	// Browsers are those that tests run in.
	Browsers = []Browser{Chromium, Firefox}
)

// Open opens a page in Chromium, until the test ends. Scripts run before its own
// ones.
func Open(t testing.TB, url string, scripts ...string) *Tab {
	t.Helper()
	chromium.start.Do(startChromium)
	require(t, "Chromium", chromium.err)
	return open(t, openChromium, url, scripts)
}

// OpenFirefox does the same in Firefox.
func OpenFirefox(t testing.TB, url string, scripts ...string) *Tab {
	t.Helper()
	firefox.once.Do(firefox.start)
	require(t, "Firefox", firefox.err)
	return open(t, openFirefox, url, scripts)
}

type opener func(t testing.TB, says func(line string), scripts []string) (driver, error)

func open(t testing.TB, opener opener, url string, scripts []string) *Tab {
	t.Helper()
	b := &Tab{t: t}
	var err error
	if b.driver, err = opener(t, b.keep, scripts); err != nil {
		t.Fatalf("cannot open a page: %v", err)
	}
	t.Cleanup(b.report)
	b.check(b.driver.navigate(url))
	return b
}

func (b *Tab) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// Run carries out an action of Chromium's.
func (b *Tab) Run(action chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	b.check(b.driver.(chromiumPage).run(action))
}

// Reload loads the page again.
func (b *Tab) Reload() {
	b.t.Helper()
	b.check(b.driver.reload())
}

// Click clicks the element that a CSS selector finds, once it can be seen and
// stays where it is. When it moves away from under the pointer, it is clicked
// again; when the click has done something else then, the test ends.
func (b *Tab) Click(selector string) {
	b.t.Helper()
	for range clicks {
		b.awaitRest(selector)
		Evaluate[any](b, fmt.Sprintf(`void (window.lastClick = {}, document.addEventListener('click', ({target}) => {
			const control = target.closest('button, a, input, select');
			const hit = control ?? target;
			window.lastClick = {
				arrived: target.closest(%q) !== null,
				acts: control !== null,
				hit: (hit.cloneNode().outerHTML + hit.innerText).slice(0, 200),
			};
		}, {capture: true, once: true}))`, selector))
		b.check(b.driver.click(selector))
		switch click := b.lastClick(); {
		case click.Arrived:
			return
		case click.Acts:
			b.t.Fatalf("a click for %s arrived at %s", selector, click.Hit)
		default:
			b.t.Logf("a click for %s arrived at %s", selector, cmp.Or(click.Hit, "nothing"))
		}
	}
	b.t.Fatalf("%d clicks did not arrive at %s", clicks, selector)
}

// awaitRest waits until an element stays where it is, two seconds at most.
func (b *Tab) awaitRest(selector string) {
	b.t.Helper()
	Evaluate[any](b, fmt.Sprintf(`(async () => {
		const place = () => JSON.stringify(document.querySelector(%q)?.getBoundingClientRect());
		for (let last, n = 0; last !== (last = place()) && n < 20; n++) {
			await new Promise((done) => setTimeout(done, 100));
		}
	})()`, selector))
}

// click is what became of one.
type click struct {
	Arrived bool   `json:"arrived"` // where it was meant to
	Acts    bool   `json:"acts"`    // what it hit does something
	Hit     string `json:"hit"`     // an element, "" as long as it is none
}

// lastClick tells about a click once it is there, or has led to another page.
func (b *Tab) lastClick() click {
	b.t.Helper()
	for start := time.Now(); ; time.Sleep(pollInterval) {
		last := Evaluate[click](b, `window.lastClick ?? {arrived: true}`)
		if last.Arrived || last.Hit != "" || time.Since(start) > clickTakes {
			return last
		}
	}
}

// Resize gives the page that many CSS pixels.
func (b *Tab) Resize(width, height int) {
	b.t.Helper()
	b.check(b.driver.resize(width, height))
}

// Evaluate gives the value of an expression, which may be a promise.
func Evaluate[T any](b *Tab, expression string) T {
	b.t.Helper()
	value, err := evaluate[T](b, expression)
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

var errNothing = errors.New("null or undefined")

func evaluate[T any](b *Tab, expression string) (T, error) {
	var value T
	encoded, err := b.driver.evaluate(expression)
	if err != nil {
		return value, err
	}
	if len(encoded) == 0 || string(encoded) == "null" {
		if _, may := any(&value).(*any); may {
			return value, nil
		}
		return value, errNothing
	}
	return value, json.Unmarshal(encoded, &value)
}

// Eventually waits until an expression, which may be a promise, is true.
func (b *Tab) Eventually(expression string) {
	b.t.Helper()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	limit := time.After(Patience)
	for !Evaluate[bool](b, expression) {
		select {
		case <-ticker.C:
		case <-limit:
			b.t.Fatalf("not true after %v: %s", Patience, expression)
		}
	}
}

// keep keeps a line that the page says to the console.
func (b *Tab) keep(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.console = append(b.console, line)
}

func (b *Tab) report() {
	directory := os.Getenv("GSTPEER_SCREENSHOTS")
	if directory != "" {
		b.saveScreenshot(directory)
	}
	if !b.t.Failed() {
		return
	}
	seen, err := evaluate[string](b, `JSON.stringify(document.body.dataset) + '\n' + document.body.innerText + '\n' +
		[...document.querySelectorAll('[data-uid]')].map(({dataset}) => JSON.stringify(dataset)).join('\n')`)
	if err != nil {
		seen = err.Error()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t.Logf("the page shows: %s\nits console: %s", seen, strings.Join(b.console, "\n"))
}

// saveScreenshot has the picture of a page as it is at the end of the test.
func (b *Tab) saveScreenshot(directory string) {
	png, err := b.driver.screenshot()
	if err == nil {
		var file *os.File
		name := strings.NewReplacer("/", "-", " ", "-").Replace(b.t.Name())
		if file, err = os.CreateTemp(directory, name+"-*.png"); err == nil {
			_, err = file.Write(png)
			err = errors.Join(err, file.Close())
			b.t.Logf("the page looks like %s", filepath.Base(file.Name()))
		}
	}
	if err != nil {
		b.t.Logf("no screenshot: %v", err)
	}
}
