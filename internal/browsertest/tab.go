package browsertest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Tab is one page in a profile of its own. Its methods end the test when they
// fail, and are for the test's goroutine. A test that failed logs what the user
// would see, and what the console says.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu      sync.Mutex
	console []string // guarded by mu
}

// Open opens a page, until the test ends. Scripts run before its own ones.
func Open(t testing.TB, url string, scripts ...string) *Tab {
	t.Helper()
	require(t)
	b := &Tab{t: t}
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.listen))
	t.Cleanup(cancel)
	b.ctx = ctx
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("cannot open a tab: %v", err)
	}
	for _, script := range scripts {
		parameters := page.AddScriptToEvaluateOnNewDocumentParams{Source: script}
		b.Run(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
			_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, parameters)
			return chromedp.Void{}, err
		})
	}
	t.Cleanup(b.report)
	b.Run(chromedp.Navigate(url))
	return b
}

// Run carries out an action.
func (b *Tab) Run(action chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, action); err != nil {
		b.t.Fatal(err)
	}
}

// Reload loads the page again.
func (b *Tab) Reload() {
	b.t.Helper()
	b.Run(chromedp.Reload())
}

// Click clicks the element that a CSS selector finds, once it can be seen.
func (b *Tab) Click(selector string) {
	b.t.Helper()
	b.Run(chromedp.Click(chromedp.CSS(selector)))
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

func evaluate[T any](b *Tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, Patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
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

// listen keeps what the page says to the console.
func (b *Tab) listen(event any) {
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
		if e.ExceptionDetails.Exception != nil {
			line += " " + e.ExceptionDetails.Exception.Description
		}
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.console = append(b.console, line)
}

func (b *Tab) report() {
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
