package browsertest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// firefoxPage drives a page of Firefox, in a window of its own: one in the
// background would be held up.
type firefoxPage struct {
	bidi    *bidi
	context string // WebDriver's name of the page
}

func openFirefox(t testing.TB, says func(line string), scripts []string) (driver, error) {
	type user struct{ UserContext string }
	owner, err := call[user](firefox.bidi, "browser.createUserContext", map[string]any{})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if _, err := call[any](firefox.bidi, "browser.removeUserContext", map[string]any{"userContext": owner.UserContext}); err != nil {
			t.Error(err)
		}
	})
	type window struct{ Context string }
	opened, err := call[window](firefox.bidi, "browsingContext.create", map[string]any{"type": "window", "userContext": owner.UserContext})
	if err != nil {
		return nil, err
	}
	p := firefoxPage{firefox.bidi, opened.Context}
	firefox.keepConsole(t, p.context, says)
	// Together they see one another's names, as the scripts of a page do.
	return p, p.call("script.addPreloadScript", map[string]any{
		"functionDeclaration": "() => {" + strings.Join(scripts, ";\n") + "}",
		"contexts":            []string{p.context},
	})
}

func (f *firefoxProcess) keepConsole(t testing.TB, context string, says func(line string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pages[context] = says
	t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.pages, context)
	})
}

func (p firefoxPage) call(method string, parameters map[string]any) error {
	_, err := call[any](p.bidi, method, parameters)
	return err
}

func (p firefoxPage) navigate(url string) error {
	return p.call("browsingContext.navigate", map[string]any{"context": p.context, "url": url, "wait": "complete"})
}

func (p firefoxPage) reload() error {
	return p.call("browsingContext.reload", map[string]any{"context": p.context, "wait": "complete"})
}

func (p firefoxPage) resize(width, height int) error {
	return p.call("browsingContext.setViewport", map[string]any{
		"context": p.context, "viewport": map[string]any{"width": width, "height": height}})
}

func (p firefoxPage) screenshot() ([]byte, error) {
	type shot struct{ Data string }
	got, err := call[shot](p.bidi, "browsingContext.captureScreenshot", map[string]any{"context": p.context})
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(got.Data)
}

// evaluate has the value as JSON, which spares a decoder of WebDriver's own form.
func (p firefoxPage) evaluate(expression string) (json.RawMessage, error) {
	type evaluation struct {
		Type             string
		Result           struct{ Value string } // absent for undefined
		ExceptionDetails struct{ Text string }
	}
	got, err := call[evaluation](p.bidi, "script.evaluate", map[string]any{
		"expression":   "(async () => JSON.stringify(await (" + expression + ")))()",
		"target":       map[string]any{"context": p.context},
		"awaitPromise": true,
	})
	if err == nil && got.Type == "exception" {
		err = errors.New(got.ExceptionDetails.Text)
	}
	return json.RawMessage(got.Result.Value), err
}

// click does with the pointer what a user does: some things only a user may begin.
func (p firefoxPage) click(selector string) error {
	if err := p.await(selector); err != nil {
		return err
	}
	type node struct{ SharedID string }
	found, err := call[struct{ Nodes []node }](p.bidi, "browsingContext.locateNodes", map[string]any{
		"context": p.context, "locator": map[string]any{"type": "css", "value": selector}, "maxNodeCount": 1})
	if err != nil {
		return err
	}
	if len(found.Nodes) == 0 {
		return fmt.Errorf("%s is gone", selector)
	}
	// Its middle, wherever that has moved meanwhile.
	middle := map[string]any{"type": "element", "element": map[string]any{"sharedId": found.Nodes[0].SharedID}}
	return p.call("input.performActions", map[string]any{
		"context": p.context,
		"actions": []any{map[string]any{
			"type": "pointer", "id": "mouse",
			"actions": []any{
				map[string]any{"type": "pointerMove", "x": 0, "y": 0, "origin": middle},
				map[string]any{"type": "pointerDown", "button": 0},
				map[string]any{"type": "pointerUp", "button": 0},
			},
		}},
	})
}

// await waits until an element can be seen.
func (p firefoxPage) await(selector string) error {
	expression := fmt.Sprintf(`(() => {
		const element = document.querySelector(%q);
		const seen = element?.checkVisibility() ?? false;
		if (seen) element.scrollIntoView({block: 'nearest', behavior: 'instant'});
		return seen;
	})()`, selector)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	limit := time.After(Patience)
	for {
		var seen bool
		encoded, err := p.evaluate(expression)
		if err == nil {
			err = json.Unmarshal(encoded, &seen)
		}
		if err != nil || seen {
			return err
		}
		select {
		case <-ticker.C:
		case <-limit:
			return fmt.Errorf("%s cannot be seen after %v", selector, Patience)
		}
	}
}
