package guest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"berth/tests/vm/wire"
)

// wanted are the drivers that the guest needs before its root file system is there.
// ext4 asks for crc32c by name, which modules.dep does not tell.
var wanted = []string{"virtio_pci", "virtio_blk", "virtio_console", "crc32c_generic", "ext4", "9pnet_virtio", "9p"}

// kernel is a version that the image has.
type kernel struct {
	version string
	image   string
	// modules is its directory below /lib/modules.
	modules string
}

// kernels of the image, the oldest first.
func (m Image) kernels() ([]kernel, error) {
	files, err := filepath.Glob(filepath.Join(m.dir, "boot", "vmlinuz-*"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no kernel in %s: %w", m.dir, err)
	}
	slices.SortFunc(files, compareVersions)
	var all []kernel
	for _, f := range files {
		version := strings.TrimPrefix(filepath.Base(f), "vmlinuz-")
		all = append(all, kernel{version, f, filepath.Join(m.dir, "modules", version)})
	}
	return all, nil
}

// compareVersions takes numbers in the text as numbers: 6.1 is before 6.12.
func compareVersions(a, b string) int {
	numbers := func(s string) []int {
		var all []int
		for _, f := range strings.FieldsFunc(filepath.Base(s), func(r rune) bool { return r < '0' || r > '9' }) {
			n := 0
			for _, d := range f {
				n = n*10 + int(d-'0')
			}
			all = append(all, n)
		}
		return all
	}
	return slices.Compare(numbers(a), numbers(b))
}

// moduleFiles are the files of the wanted modules below the kernel's directory, each
// after those that it needs. Those that are built in have none.
func (k kernel) moduleFiles() ([]string, error) {
	text, err := os.ReadFile(filepath.Join(k.modules, "modules.dep"))
	if err != nil {
		return nil, err
	}
	byName, needs := map[string]string{}, map[string][]string{}
	for _, line := range strings.Split(string(text), "\n") {
		file, deps, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(path.Base(file), ".")
		byName[strings.ReplaceAll(name, "-", "_")] = file
		needs[file] = strings.Fields(deps)
	}
	var files []string
	for _, name := range wanted {
		file := byName[name]
		if file == "" {
			continue
		}
		// modules.dep has all that a module needs, itself not, the farthest last.
		order := append([]string{file}, needs[file]...)
		slices.Reverse(order)
		for _, f := range order {
			if !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
	}
	return files, nil
}

// buildAgent compiles the program that runs in the guest; Go's cache makes that quick.
func buildAgent(dir string) (string, error) {
	out := filepath.Join(dir, "agent")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "berth/tests/vm/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build berth/tests/vm/agent: %w\n%s", err, msg)
	}
	return out, nil
}

// initrd makes the first file system of a guest: the agent as /init, modules, and
// what the agent is to know.
func (k kernel) initrd(dir string, shares []wire.Share) (string, error) {
	agent, err := buildAgent(dir)
	if err != nil {
		return "", err
	}
	files, err := k.moduleFiles()
	if err != nil {
		return "", err
	}
	var a archive
	if err := a.addFile("init", agent); err != nil {
		return "", err
	}
	config := wire.Config{Shares: shares}
	for _, f := range files {
		name := path.Base(f)
		if err := a.addFile(name, filepath.Join(k.modules, f)); err != nil {
			return "", err
		}
		config.Modules = append(config.Modules, "/"+name)
	}
	text, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	a.add("config.json", 0o100644, text)
	a.add("TRAILER!!!", 0, nil)
	out := filepath.Join(dir, "initrd")
	return out, os.WriteFile(out, a.Bytes(), 0o600)
}

// archive is a cpio of the one format that the kernel unpacks, without directories.
type archive struct{ bytes.Buffer }

func (a *archive) addFile(name, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	a.add(name, 0o100755, data)
	return nil
}

// add appends a file; the format is told in the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst.
func (a *archive) add(name string, mode uint32, data []byte) {
	// inode, mode, uid, gid, links, mtime, size, four device numbers, name's size, checksum
	inode := uint32(a.Len() + 1)
	fmt.Fprint(a, "070701")
	for _, field := range []uint32{inode, mode, 0, 0, 1, 0, uint32(len(data)), 0, 0, 0, 0, uint32(len(name) + 1), 0} {
		fmt.Fprintf(a, "%08X", field)
	}
	a.WriteString(name + "\x00")
	a.pad()
	a.Write(data)
	a.pad()
}

func (a *archive) pad() {
	for a.Len()%4 != 0 {
		a.WriteByte(0)
	}
}
