// Package doctest reads the documentation for tests: what it tells to run, which
// flags and variables it names, and what it links to.
package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Root is the repository, from a folder at this depth: tests run in that of their
// package.
const Root = "../.."

// Page is a page of the documentation.
type Page struct {
	Name string // its path in the repository
	Text string
}

// Pages are the README and all of docs.
func Pages(t testing.TB) []Page {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(Root, "docs", "*.md"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no documentation in %s: %v", Root, err)
	}
	var pages []Page
	for _, path := range append([]string{filepath.Join(Root, "README.md")}, paths...) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(Root, path)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, Page{Name: name, Text: string(text)})
	}
	return pages
}

// Block is what a page tells to run together, in one folder: the lines of a block
// of sh, or one command within a text or a table.
type Block struct {
	Page     string
	Line     int // in the page, from 1
	Commands []string
}

var (
	fence      = regexp.MustCompile("^ *```(\\w*)$")
	inlineCode = regexp.MustCompile("`([^`]+)`")
	// inlineCommand is what is run as it stands, with a program of the project or of
	// a container engine.
	inlineCommand = regexp.MustCompile(`^(\./bin/gstpeer|docker |make |go )`)
)

// Blocks finds what the page tells to run.
func (p Page) Blocks() []Block {
	var blocks []Block
	language, inBlock := "", false
	var lines, paragraph []string
	for i, line := range strings.Split(p.Text, "\n") {
		mark := fence.FindStringSubmatch(line)
		if mark != nil || strings.TrimSpace(line) == "" || inBlock {
			blocks = append(blocks, inline(p.Name, i+1-len(paragraph), paragraph)...)
			paragraph = nil
		}
		switch {
		case mark != nil && !inBlock:
			language, inBlock, lines = mark[1], true, nil
		case mark != nil:
			inBlock = false
			if language == "sh" {
				blocks = append(blocks, Block{p.Name, i + 1 - len(lines), commands(lines)})
			}
		case inBlock:
			lines = append(lines, line)
		default:
			paragraph = append(paragraph, line)
		}
	}
	return blocks
}

// inline finds commands within a text, whose first line has a number.
func inline(page string, number int, lines []string) []Block {
	text := strings.Join(lines, "\n")
	var blocks []Block
	for _, at := range inlineCode.FindAllStringSubmatchIndex(text, -1) {
		if code := strings.ReplaceAll(text[at[2]:at[3]], "\n", " "); inlineCommand.MatchString(code) {
			blocks = append(blocks, Block{page, number + strings.Count(text[:at[0]], "\n"), []string{code}})
		}
	}
	return blocks
}

// commands joins the lines that a backslash continues.
func commands(lines []string) []string {
	var all []string
	open := ""
	for _, line := range lines {
		open += line
		if continued, found := strings.CutSuffix(open, `\`); found {
			open = continued
			continue
		}
		if command := strings.TrimSpace(open); command != "" && !strings.HasPrefix(command, "#") {
			all = append(all, strings.Join(strings.Split(command, "\t"), ""))
		}
		open = ""
	}
	return all
}
