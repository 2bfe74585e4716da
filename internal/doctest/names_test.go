package doctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMake: what the pages say to make are targets of the Makefile.
func TestMake(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(Root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range Pages(t) {
		for _, block := range page.Blocks() {
			for _, command := range block.Commands {
				targets, isMake := strings.CutPrefix(command, "make ")
				if !isMake {
					continue
				}
				for _, target := range strings.Fields(targets) {
					if strings.Contains(target, "=") {
						break
					}
					if !regexp.MustCompile(`(?m)^` + target + `:`).Match(makefile) {
						t.Errorf("%s:%d: the Makefile has no target %s", block.Page, block.Line, target)
					}
				}
			}
		}
	}
}

// TestGo: the tests, benchmarks and programs that the pages say to run are there.
func TestGo(t *testing.T) {
	for _, page := range Pages(t) {
		for _, block := range page.Blocks() {
			for _, command := range block.Commands {
				if words := strings.Fields(command[strings.Index(command, "go ")+1:]); strings.Contains(command, "go test ") {
					checkGoTest(t, block, words)
				}
				for _, program := range regexp.MustCompile(`\./cmd/\S+`).FindAllString(command, -1) {
					if _, err := os.Stat(filepath.Join(Root, program)); err != nil {
						t.Errorf("%s:%d: %v", block.Page, block.Line, err)
					}
				}
			}
		}
	}
}

// checkGoTest looks for what go test is told to run.
func checkGoTest(t *testing.T, b Block, words []string) {
	t.Helper()
	patterns := map[string]string{"-run": "Test", "-bench": "Benchmark", "-fuzz": "Fuzz"}
	names := functions(t, words[len(words)-1])
	for i, word := range words {
		prefix, pattern := patterns[word], ""
		if prefix != "" && i+1 < len(words) {
			pattern = strings.Trim(words[i+1], "'")
		}
		if pattern == "" || pattern == "^$" {
			continue
		}
		found := false
		for _, name := range names {
			found = found || strings.HasPrefix(name, prefix) && regexp.MustCompile(pattern).MatchString(name)
		}
		if !found {
			t.Errorf("%s:%d: go test %s %s %s finds none", b.Page, b.Line, word, pattern, words[len(words)-1])
		}
	}
}

// functions are those of the tests of a package, or of all of them.
func functions(t *testing.T, packages string) []string {
	t.Helper()
	folder := filepath.Join(Root, strings.TrimSuffix(packages, "/..."))
	var names []string
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != folder && !strings.HasSuffix(packages, "/...") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declared := range file.Decls {
			if function, ok := declared.(*ast.FuncDecl); ok {
				names = append(names, function.Name.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
