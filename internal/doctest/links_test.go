package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gstpeer/gstpeer/internal/version"
)

// TestLinks: what the pages link to in the repository is there.
func TestLinks(t *testing.T) {
	for _, page := range Pages(t) {
		for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(page.Text, -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(link[1], "#")
			target := filepath.Join(Root, filepath.Dir(page.Name), path)
			if path == "" {
				target = filepath.Join(Root, page.Name)
			}
			text, err := os.ReadFile(target)
			if err != nil {
				t.Errorf("%s: %v", page.Name, err)
			}
			if anchor != "" && !hasHeading(string(text), anchor) {
				t.Errorf("%s: %s has no heading for #%s", page.Name, path, anchor)
			}
		}
	}
}

// hasHeading looks for a heading that browsers find under an anchor.
func hasHeading(text, anchor string) bool {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		plain := regexp.MustCompile(`[^\w\s-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		if strings.ReplaceAll(plain, " ", "-") == anchor {
			return true
		}
	}
	return false
}

// TestChangelog holds its form, and that the version of the programs is the one
// that it has last or the one that is on the way.
func TestChangelog(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(Root, "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	heading := regexp.MustCompile(`^\[(?:Unreleased|\d+\.\d+\.\d+)\](?: - \d{4}-\d{2}-\d{2})?$`)
	releases := regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(text, -1)
	for i, release := range releases {
		if !heading.MatchString(release[1]) || (i == 0) != (release[1] == "[Unreleased]") {
			t.Errorf("release %q, want [Unreleased] first, then [1.2.0] - 2026-12-24", release[1])
		}
		name := release[1][:strings.IndexByte(release[1], ']')+1]
		if !strings.Contains(text, "\n"+name+": https://") {
			t.Errorf("no link of %s", name)
		}
	}
	for _, kind := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`^(Added|Changed|Deprecated|Removed|Fixed|Security)$`).MatchString(kind[1]) {
			t.Errorf("kind of changes %q", kind[1])
		}
	}
	released, found := strings.CutSuffix(version.Number, "-dev")
	if !found && (len(releases) < 2 || !strings.HasPrefix(releases[1][1], "["+released+"]")) {
		t.Errorf("the version is %s, which the changelog does not have at the top", released)
	}
	if found && strings.Contains(text, "## ["+released+"]") {
		t.Errorf("the changelog has %s, and the version is still %s", released, version.Number)
	}
}
