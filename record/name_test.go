package record_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gstpeer/gstpeer/record"
)

func TestFileName(t *testing.T) {
	t.Parallel()
	tests := []struct{ room, uid, want string }{
		{"lab", "cam1", "lab-cam1"},
		{"", "cam1", "cam1"},
		{"lab", "", "lab"},
		{"", "", ""},
		{"Küche", "前門", "Küche-前門"},
		{"नमस्ते", "a.b_c@d+e", "नमस्ते-a.b_c@d+e"},
		{"a/b", "..", "a_b~c14cddc0-_.~5ec1f7e7"},
		{"../../etc", "passwd", "_._.._etc~74ccf3c5-passwd"},
		{".hidden", "-rf", "_hidden~16924190-_rf~686c39ac"},
		{"CON", "con.txt", ""},
		{"a\x00b\n", "c\u202ed\u2028", ""},
		{"a\u3164b", "\u0301e", ""},
		{"bad\xff", "<>:\"|?*\\", ""},
		{strings.Repeat("x", 1024), strings.Repeat("é", 512), ""},
		{"a b", "~", ""},
		{"COM1.log", "lpt¹", ""},
	}
	for _, test := range tests {
		got := record.FileName(test.room, test.uid, wallStart)
		if complaint := unsafeName(got); complaint != "" {
			t.Errorf("%q, %q: got %q, which %s", test.room, test.uid, got, complaint)
		}
		if !strings.HasSuffix(got, "20261125T101530") {
			t.Errorf("%q, %q: got %q without its time", test.room, test.uid, got)
		}
		want := strings.TrimPrefix(test.want+"-20261125T101530", "-")
		if (test.want != "" || test.room+test.uid == "") && got != want {
			t.Errorf("%q, %q: got %q, want %q", test.room, test.uid, got, want)
		}
	}
}

// unsafeName says what is wrong with a name.
func unsafeName(name string) string {
	switch {
	case len(name)+len("-9999.mkv") > record.MaxName:
		return "is too long"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case strings.ContainsAny(name, "/\\\x00<>:\"|?*\n\t ';&$`!#%(){}[]^=,"):
		return "has a character that is not safe"
	case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-"):
		return "has a beginning that is not safe"
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x2000 && r < 0x2070 {
			return "has a control character"
		}
	}
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	for _, device := range []string{"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"} {
		if base == device {
			return "is a device"
		}
	}
	return ""
}

// FuzzFileName makes names of any text: safe ones, and others for other texts.
func FuzzFileName(f *testing.F) {
	for _, seed := range []string{"", "lab", "cam1", "..", "../..", "a/b", "-rf", "CON", "con.x", "\x00", "\xff\xfe", "Küche", "a~b", strings.Repeat("長", 400)} {
		f.Add(seed, "lab")
		f.Add("cam1", seed)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		first, second := record.FileName("", a, wallStart), record.FileName("", b, wallStart)
		for _, name := range []string{first, second, record.FileName(a, b, wallStart)} {
			if complaint := unsafeName(name); complaint != "" {
				t.Errorf("%q, %q: got %q, which %s", a, b, name, complaint)
			}
		}
		if a != b && first == second {
			t.Errorf("%q and %q both get %q", a, b, first)
		}
	})
}

// TestNoSymbolicLink does not write through a link that lies where a file is to be.
func TestNoSymbolicLink(t *testing.T) {
	t.Parallel()
	opus := encode(t, sound(4))
	c := dial(t, record.Config{Tracks: []record.Track{{ID: tone, Codec: record.Opus}}})
	target := symlink(t, c.dir, "lab-cam1-20261125T101530.mkv")
	c.writeAll(mix(map[int][]frame{tone: opus}))
	c.hangUp()
	c.want("lab-cam1-20261125T101530-2.mkv", "lab-cam1-20261125T101530.mkv")
	wantMissing(t, target)
	if got := readMatroska(t, c.files()[0]); len(got.blocks) != len(opus) {
		t.Errorf("got %d packets, want %d", len(got.blocks), len(opus))
	}
}

// TestHostileNames records for a peer whose names try to leave the directory.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	opus := encode(t, sound(4))
	for _, uid := range []string{"../../../../tmp/x", "/etc/passwd", strings.Repeat("ÿ", 512), "\x00", "a\nb", "con"} {
		c := dial(t, record.Config{Room: "..", UID: uid, Tracks: []record.Track{{ID: tone, Codec: record.Opus}}})
		c.writeAll(mix(map[int][]frame{tone: opus[:10]}))
		c.hangUp()
		if len(readMatroska(t, c.file()).blocks) != 10 {
			t.Errorf("%q: not in its directory", uid)
		}
	}
}
