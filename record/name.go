package record

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxComponent is the longest part of a name, in bytes: two of them, a hash
	// each, the time and a suffix stay below the 143 of eCryptfs; others take 255.
	maxComponent = 48
	hashLength   = 8
)

// fileName names a file by whom it shows and when it begins, without extension.
func fileName(room, uid string, start time.Time) string {
	var parts []string
	for _, text := range []string{room, uid} {
		if text != "" {
			parts = append(parts, component(text))
		}
	}
	return strings.Join(append(parts, start.Format("20060102T150405")), "-")
}

// component makes any text a part of a file name that is safe everywhere. What
// has to be changed for that gets ~ and a hash, so that other texts get other
// names: ~ is in no component that was not changed.
func component(text string) string {
	var b strings.Builder
	for i, c := range text {
		if b.Len()+utf8.RuneLen(c) > maxComponent {
			break
		}
		if !safe(c, i == 0) {
			c = '_'
		}
		b.WriteRune(c)
	}
	name := b.String()
	if deviceName(name) {
		name = "_" + name
	}
	if name == text {
		return name
	}
	hash := sha256.Sum256([]byte(text))
	return name + "~" + hex.EncodeToString(hash[:])[:hashLength]
}

// safe tells whether a character may be in a name: no control characters and no
// separators, nothing that a shell or a file system takes for something else,
// nothing that cannot be seen; at the beginning no dot, which hides a file, no
// dash, which makes an option of it, and no accent without its letter.
func safe(c rune, first bool) bool {
	switch {
	case c == utf8.RuneError, unicode.Is(unicode.Other_Default_Ignorable_Code_Point, c):
		return false
	case unicode.IsLetter(c), unicode.IsDigit(c):
		return true
	case c == '_', c == '@', c == '+':
		return true
	case c == '.', c == '-', unicode.Is(unicode.Mn, c), unicode.Is(unicode.Mc, c):
		return !first
	default:
		return false
	}
}

// deviceName tells whether Windows takes a file for a device by its name.
func deviceName(name string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch base {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	number, isCOM := strings.CutPrefix(base, "COM")
	number, isLPT := strings.CutPrefix(number, "LPT")
	return (isCOM || isLPT) && len([]rune(number)) == 1 && strings.ContainsAny(number, "0123456789¹²³")
}
