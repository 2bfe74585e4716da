// Package web holds the page that the relay serves: HTML, CSS and ES modules,
// exactly as the browser gets them.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
)

// Files are the page's files, index.html among them, with no folder above them.
//
//go:embed index.html style.css icon.svg *.js
var Files embed.FS

// InlineScriptHash is the source expression by which a Content-Security-Policy
// allows the one script that is in index.html itself.
var InlineScriptHash = hashInlineScript()

func hashInlineScript() string {
	page, err := Files.ReadFile("index.html")
	if err != nil {
		panic(err) // it is in the program
	}
	_, rest, _ := bytes.Cut(page, []byte("<script>"))
	script, _, _ := bytes.Cut(rest, []byte("</script>"))
	hash := sha256.Sum256(script)
	return "'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'"
}
