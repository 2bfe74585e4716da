package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// sources gives the code of the files of a pattern, without tests.
func sources(t *testing.T, pattern string) string {
	t.Helper()
	return read(t, pattern, false)
}

// read gives the tests of a pattern, or what is none.
func read(t *testing.T, pattern string, tests bool) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(Root, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no sources %s: %v", pattern, err)
	}
	var all strings.Builder
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") != tests {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// compare holds that two lists name the same.
func compare(t *testing.T, what string, documented, code []string) {
	t.Helper()
	if len(code) == 0 {
		t.Fatalf("%s: none is found in the code", what)
	}
	for _, c := range code {
		if !slices.Contains(documented, c) {
			t.Errorf("%s: %q is not documented", what, c)
		}
	}
	for _, d := range documented {
		if !slices.Contains(code, d) {
			t.Errorf("%s: %q is documented, and not in the code", what, d)
		}
	}
}

// TestCloseCodes: the pages have every close code with every reason.
func TestCloseCodes(t *testing.T) {
	codes := map[string]int{
		"CloseGoingAway": websocket.CloseGoingAway, "CloseProtocolError": websocket.CloseProtocolError, "CloseInvalidFramePayloadData": websocket.CloseInvalidFramePayloadData,
		"ClosePolicyViolation": websocket.ClosePolicyViolation, "CloseMessageTooBig": websocket.CloseMessageTooBig, "CloseTryAgainLater": websocket.CloseTryAgainLater,
	}
	var code, documented []string
	for _, found := range regexp.MustCompile(`websocket\.(Close\w+), "([^"]+)"`).FindAllStringSubmatch(sources(t, "server/*.go"), -1) {
		code = append(code, strconv.Itoa(codes[found[1]])+" "+found[2])
	}
	for _, found := range regexp.MustCompile("(?m)^\\| (1\\d{3}) `([^`]+)` \\|").FindAllStringSubmatch(page(t, "docs/embedding.md").Text, -1) {
		documented = append(documented, found[1]+" "+found[2])
	}
	compare(t, "close code", documented, code)
}

// TestErrors: the pages have every answer ERROR of the relay.
func TestErrors(t *testing.T) {
	// What stands for something else is called differently.
	plain := func(text string) string {
		return regexp.MustCompile(`'<\w+>'|'%s'|<n>|%d`).ReplaceAllString(text, "…")
	}
	code, documented := []string{"invalid protocol", "uid not allowed by the token"}, []string{}
	for _, found := range regexp.MustCompile(`\b(?:refuse|refusal)\("([^"]+)"`).FindAllStringSubmatch(sources(t, "server/*.go"), -1) {
		code = append(code, plain(found[1]))
	}
	for _, found := range regexp.MustCompile("(?m)^\\| `ERROR (.+?)` \\|").FindAllStringSubmatch(page(t, "docs/embedding.md").Text, -1) {
		documented = append(documented, plain(found[1]))
	}
	compare(t, "answer", documented, code)
}

// TestPageParameters: the pages have every parameter of the web page.
func TestPageParameters(t *testing.T) {
	var code, documented []string
	for _, found := range regexp.MustCompile(`(?:\bparameters|address\.searchParams)\.(?:get|has)\('(\w+)'\)`).FindAllStringSubmatch(sources(t, "server/web/*.js"), -1) {
		code = append(code, found[1])
	}
	_, table, _ := strings.Cut(page(t, "docs/embedding.md").Text, "| parameter | |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, found := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(table, -1) {
		documented = append(documented, found[1])
	}
	compare(t, "parameter", documented, code)
}
