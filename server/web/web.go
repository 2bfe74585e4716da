// Package web holds the page that the relay serves: HTML, CSS and ES modules,
// exactly as the browser gets them.
package web

import "embed"

// Files are the page's files, index.html among them, with no folder above them.
//
//go:embed index.html style.css icon.svg *.js
var Files embed.FS
