// Package version says which build of the project a program is.
package version

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// Number is the version, as in the changelog; -dev is on the way to it.
const Number = "0.1.0-dev"

// commit is set by the linker; see the Makefile.
var commit string

// Commit names the commit that the program was built from, or says that it is
// not known.
func Commit() string {
	return cmp.Or(commit, fromBuild(), "unknown")
}

// fromBuild is what the Go tool noted: the commit where it could ask git, or the
// version where it built a module from elsewhere.
func fromBuild() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, setting := range build.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	if build.Main.Version == "(devel)" {
		return ""
	}
	return build.Main.Version
}

// Line is what a program says of itself.
func Line(program string) string {
	return fmt.Sprintf("%s %s, commit %s, %s %s/%s", program, Number, Commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
