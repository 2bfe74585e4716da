package doctest

import (
	"reflect"
	"testing"
)

func TestBlocks(t *testing.T) {
	page := Page{Name: "page.md", Text: "Try `./bin/gstpeer devices`, with `--video`:\n\n```sh\n# first\ncd here\n./bin/gstpeer \\\n\t--room lab\n\n```\n```json\n{}\n```\n| `make x` | `ls` |\n| `make\nall` |\n\n"}
	want := []Block{
		{"page.md", 1, []string{"./bin/gstpeer devices"}},
		{"page.md", 4, []string{"cd here", "./bin/gstpeer --room lab"}},
		{"page.md", 13, []string{"make x"}},
		{"page.md", 14, []string{"make all"}},
	}
	if got := page.Blocks(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
