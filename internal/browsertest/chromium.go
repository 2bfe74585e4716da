package browsertest

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is the one Chromium of all the tests.
var chromium = struct {
	start sync.Once
	ctx   context.Context
	stop  func()
	err   error
}{stop: func() {}}

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

// chromiumPage drives a page of Chromium.
type chromiumPage struct{ ctx context.Context }

func openChromium(t testing.TB, says func(line string), scripts []string) (driver, error) {
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext(),
		chromedp.WithListener(func(event any) { listen(event, says) }))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		return nil, err
	}
	p := chromiumPage{ctx}
	for _, script := range scripts {
		parameters := page.AddScriptToEvaluateOnNewDocumentParams{Source: script}
		err := p.run(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
			_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, parameters)
			return chromedp.Void{}, err
		})
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p chromiumPage) run(action chromedp.Action[chromedp.Void]) error {
	_, err := runChromium(p, action)
	return err
}

func runChromium[T any](p chromiumPage, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	return chromedp.Run(ctx, action)
}

func (p chromiumPage) navigate(url string) error { return p.run(chromedp.Navigate(url)) }

func (p chromiumPage) reload() error { return p.run(chromedp.Reload()) }

func (p chromiumPage) click(selector string) error {
	return p.run(chromedp.Click(chromedp.CSS(selector)))
}

func (p chromiumPage) resize(width, height int) error {
	return p.run(chromedp.EmulateViewport(int64(width), int64(height)))
}

func (p chromiumPage) screenshot() ([]byte, error) {
	return runChromium(p, chromedp.CaptureScreenshot())
}

func (p chromiumPage) evaluate(expression string) (json.RawMessage, error) {
	return runChromium(p, chromedp.Evaluate[[]byte](expression, chromedp.EvalAwaitPromise))
}

// listen tells what the page, or the browser about it, says to the console.
func listen(event any, says func(line string)) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		words := []string{string(e.Type)}
		for _, argument := range e.Args {
			words = append(words, string(argument.Value)+argument.Description)
		}
		says(strings.Join(words, " "))
	case *log.EventEntryAdded: // such as what could not be loaded
		says(strings.Join([]string{string(e.Entry.Level), e.Entry.Text, e.Entry.URL}, " "))
	case *runtime.EventExceptionThrown:
		line := "exception " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			line += " " + e.ExceptionDetails.Exception.Description
		}
		says(line)
	}
}
