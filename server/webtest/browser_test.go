package webtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"
)

const (
	patience     = 60 * time.Second // for anything that has to happen; the machine may be busy
	pollInterval = 50 * time.Millisecond
)

// chromium is the one browser of all the tests; each gets a context of its own
// in it.
var chromium struct {
	start sync.Once
	ctx   context.Context
	stop  func()
	err   error
}

func TestMain(m *testing.M) {
	chromium.stop = func() {}
	code := m.Run()
	chromium.stop()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left over:", err)
			code = 1
		}
	}
	os.Exit(code)
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
		chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("allow-loopback-in-peer-connection", true),
		chromedp.Flag("autoplay-policy", "document-user-activation-required"), // what a user's browser has
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"),
		chromedp.Flag("disable-quic", true),
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

// tab is one page in a profile of its own.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	console []string // guarded by mu
}

// newTab opens an empty tab. Scripts run before those of any page in it.
func newTab(t *testing.T, scripts ...string) *tab {
	t.Helper()
	chromium.start.Do(startChromium)
	if chromium.err != nil {
		if os.Getenv("GSTPEER_REQUIRE_BROWSER") == "1" {
			t.Fatalf("Chromium is required here: %v", chromium.err)
		}
		t.Skipf("no Chromium: %v", chromium.err)
	}
	b := &tab{t: t}
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.listen))
	t.Cleanup(cancel)
	b.ctx = ctx
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("cannot open a tab: %v", err)
	}
	for _, script := range scripts {
		parameters := page.AddScriptToEvaluateOnNewDocumentParams{Source: script}
		b.run(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
			_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, parameters)
			return chromedp.Void{}, err
		})
	}
	return b
}

func openPage(t *testing.T, url string, scripts ...string) *tab {
	t.Helper()
	b := newTab(t, scripts...)
	b.run(chromedp.Navigate(url))
	return b
}

// listen keeps what the page says to the console, for the failure's report.
func (b *tab) listen(event any) {
	var line string
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		words := []string{string(e.Type)}
		for _, argument := range e.Args {
			words = append(words, string(argument.Value)+argument.Description)
		}
		line = strings.Join(words, " ")
	case *runtime.EventExceptionThrown:
		line = "exception " + e.ExceptionDetails.Text
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.console = append(b.console, line)
}

func (b *tab) run(action chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, action); err != nil {
		b.t.Fatal(err)
	}
}

// evaluate gives the value of an expression, which may be a promise.
func evaluate[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// eventually waits until an expression, which may be a promise, is true.
func (b *tab) eventually(expression string) {
	b.t.Helper()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	limit := time.After(patience)
	for !evaluate[bool](b, expression) {
		select {
		case <-ticker.C:
		case <-limit:
			b.report()
			b.t.Fatalf("not true after %v: %s", patience, expression)
		}
	}
}

// report logs what the user would see, and what the console says.
func (b *tab) report() {
	b.t.Helper()
	b.t.Logf("page: %s", evaluate[string](b, `document.body.dataset.relay + ' | ' + document.body.innerText`))
	b.t.Logf("tiles: %s", evaluate[string](b, `[...document.querySelectorAll('.tile')].map(
		({dataset}) => JSON.stringify(dataset)).join(' ')`))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t.Logf("console: %s", strings.Join(b.console, "\n"))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.run(chromedp.Click(chromedp.CSS(selector)))
}

// tile is the selector of a sender's tile.
func tile(uid string) string {
	return fmt.Sprintf(`.tile[data-uid="%s"]`, uid)
}

// awaitState waits for a tile's state and for the words that show it.
func (b *tab) awaitState(uid, state, words string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf(`(() => {
		const tile = document.querySelector('%s');
		return tile?.dataset.state === %q && tile.querySelector('.state').textContent === %q;
	})()`, tile(uid), state, words))
}

func (b *tab) awaitLive(uid string) {
	b.t.Helper()
	b.awaitState(uid, "live", "live")
}

func (b *tab) awaitRelay(state string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf(`document.body.dataset.relay === %q`, state))
}

// inbound is what getStats says about one kind of media that comes in.
type inbound struct {
	SSRC             uint32  `json:"ssrc"`
	FramesDecoded    int     `json:"framesDecoded"`
	TotalAudioEnergy float64 `json:"totalAudioEnergy"`
}

// inbound gives the zero value when there is none.
func (b *tab) inbound(uid, kind string) inbound {
	b.t.Helper()
	return evaluate[inbound](b, fmt.Sprintf(`(async () => {
		const peer = gstpeer.peers().find(({uid}) => uid === %q);
		const stats = (await peer?.stats()) ?? [];
		return stats.find(({type, kind}) => type === 'inbound-rtp' && kind === %q) ?? {};
	})()`, uid, kind))
}

// awaitFrames waits until more frames of a sender have been decoded, and gives
// the SSRC that they came on.
func (b *tab) awaitFrames(uid string, more int) uint32 {
	b.t.Helper()
	start := b.inbound(uid, "video").FramesDecoded
	b.eventually(fmt.Sprintf(`(async () => {
		const peer = gstpeer.peers().find(({uid}) => uid === %q);
		const stats = (await peer?.stats()) ?? [];
		return stats.some(({kind, framesDecoded}) => kind === 'video' && framesDecoded >= %d);
	})()`, uid, start+more))
	return b.inbound(uid, "video").SSRC
}
