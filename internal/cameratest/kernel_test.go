package cameratest

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// modules are what the machine needs beside what is built into the kernel: its
// disks, its network and its camera, which is a webcam and nothing else.
var modules = []string{"virtio_pci", "virtio_net", "9pnet_virtio", "9p", "vivid"}

const cameraParameters = "n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0"

// kernel is an unpacked one of Debian.
type kernel struct {
	image   string
	modules map[string]string // paths by name
}

// findKernel takes Debian's kernel from the cache, or fetches it: it is not
// installed, since that would make it the one that this machine starts with.
func findKernel(t *testing.T) kernel {
	t.Helper()
	name := kernelPackage(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "gstpeer", "camera", name)
	if _, err := os.Stat(dir); err != nil {
		fetchKernel(t, name, dir)
	}
	k := kernel{modules: make(map[string]string)}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		switch {
		case strings.HasPrefix(filepath.Base(path), "vmlinuz-"):
			k.image = path
		case strings.HasSuffix(path, ".ko"):
			k.modules[moduleName(path)] = path
		}
		return err
	})
	if err != nil || k.image == "" {
		t.Fatalf("no kernel in %s: %v; remove it and try again", dir, err)
	}
	return k
}

// kernelPackage is what the newest kernel's package is called, with its version.
func kernelPackage(t *testing.T) string {
	t.Helper()
	out, err := run("", "apt-cache", "show", "--no-all-versions", "linux-image-amd64")
	found := regexp.MustCompile(`(?m)^Depends: (linux-image-\S+) \(= (\S+)\)`).FindStringSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("apt does not know Debian's kernel, linux-image-amd64: apt-get update; %v", err)
	}
	return found[1] + "=" + found[2]
}

func fetchKernel(t *testing.T, name, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	unpacked, err := os.MkdirTemp(filepath.Dir(dir), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(unpacked)
	download := t.TempDir()
	if _, err := run(download, "apt-get", "download", "-q", name); err != nil {
		t.Fatalf("%v; apt-get update may help", err)
	}
	files, err := filepath.Glob(filepath.Join(download, "*.deb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("apt-get download %s made %q: %v", name, files, err)
	}
	if _, err := run("", "dpkg-deb", "--extract", files[0], unpacked); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(unpacked, dir); err != nil {
		t.Fatal(err)
	}
}

// moduleName is the name of a module in a file: the kernel does not tell hyphens
// from underscores.
func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

// load gives the modules of a name in the order to load them in: those first that
// others depend on.
func (k kernel) load(t *testing.T, loaded []string, name string) []string {
	t.Helper()
	path, found := k.modules[name]
	if !found {
		t.Fatalf("%s has no module %s", k.image, name)
	}
	for _, other := range loaded {
		if other == path {
			return loaded
		}
	}
	for _, needed := range dependencies(t, path) {
		loaded = k.load(t, loaded, strings.ReplaceAll(needed, "-", "_"))
	}
	return append(loaded, path)
}

// dependencies are what a module says of itself that it needs.
func dependencies(t *testing.T, path string) []string {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	section := file.Section(".modinfo")
	if section == nil {
		t.Fatalf("%s is not a module", path)
	}
	text, err := section.Data()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range strings.Split(string(text), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			return strings.Split(list, ",")
		}
	}
	return nil
}

// initramfs is what the kernel starts with: init and the modules.
func (k kernel) initramfs(t *testing.T, initProgram string) string {
	t.Helper()
	var paths []string
	for _, name := range modules {
		paths = k.load(t, paths, name)
	}
	var archive, list bytes.Buffer
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := moduleName(path)
		writeCPIO(&archive, name+".ko", content)
		parameters := ""
		if name == "vivid" {
			parameters = cameraParameters
		}
		fmt.Fprintf(&list, "/%s.ko %s\n", name, parameters)
	}
	program, err := os.ReadFile(initProgram)
	if err != nil {
		t.Fatal(err)
	}
	writeCPIO(&archive, "init", program)
	writeCPIO(&archive, strings.TrimPrefix(ModuleList, "/"), list.Bytes())
	writeCPIO(&archive, "TRAILER!!!", nil)
	path := filepath.Join(t.TempDir(), "initramfs")
	if err := os.WriteFile(path, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// writeCPIO adds an executable file in the form newc (cpio(5)).
func writeCPIO(to *bytes.Buffer, name string, content []byte) {
	const executable = 0o100755
	header := [13]int{1: executable, 4: 1, 6: len(content), 11: len(name) + 1}
	to.WriteString("070701")
	for _, field := range header {
		fmt.Fprintf(to, "%08x", field)
	}
	to.WriteString(name + "\x00")
	pad(to)
	to.Write(content)
	pad(to)
}

// pad fills up to a multiple of four bytes.
func pad(to *bytes.Buffer) {
	for to.Len()%4 != 0 {
		to.WriteByte(0)
	}
}

// run runs a command of this machine to its end.
func run(dir, name string, args ...string) (string, error) {
	command := exec.Command(name, args...)
	command.Dir, command.Env = dir, append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := command.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), err
}
