package bundles

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/bundles/hostfs"
	"berth/libcontainer/fault"
)

// Create makes a bundle to keep in dir, which must be empty or absent: a
// config.json, and a root filesystem of the named programs, or of the default
// set when there are none. Its command is opt.Args, or else a shell, or where
// none of the programs is one the first of them. On an error all that was made is
// removed.
func Create(dir string, programs []string, opt Options) (*hostfs.Report, error) {
	made, err := begin(dir)
	if err != nil {
		return nil, err
	}
	rep, err := create(dir, programs, opt)
	if err != nil {
		// Only what is ours: dir was empty.
		os.RemoveAll(filepath.Join(dir, "rootfs"))
		os.Remove(filepath.Join(dir, "config.json"))
		if made {
			os.Remove(dir)
		}
		return nil, err
	}
	return rep, nil
}

// begin makes dir or finds it empty; made says which.
func begin(dir string) (made bool, err error) {
	if dir == "" {
		return false, fault.New("the bundle needs a directory")
	}
	err = os.Mkdir(dir, 0o755)
	if err == nil {
		// Whatever the umask is: root of a user namespace is another user here and
		// must find the root filesystem.
		return true, os.Chmod(dir, 0o755)
	}
	if !os.IsExist(err) {
		return false, fault.Wrap("can't make the bundle", err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return false, fault.Wrap("can't make the bundle", err)
	}
	if len(names) > 0 {
		return false, &fault.Error{Msg: "can't make the bundle: " + dir + " is not empty", Errno: unix.ENOTEMPTY, Hint: "name a new directory"}
	}
	return false, nil
}

func create(dir string, programs []string, opt Options) (*hostfs.Report, error) {
	command := ""
	if len(opt.Args) > 0 {
		command = opt.Args[0]
	}
	rep, err := hostfs.Build(filepath.Join(dir, "rootfs"), programs, opt.hostOptions(command))
	if err != nil {
		return nil, err
	}
	if len(opt.Args) == 0 && rep.Find("sh") == nil {
		opt.Args = []string{rep.Programs[0].Name}
	}
	s := Default(opt)
	fit(s, rep)
	text, err := Encode(s)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644); err != nil {
		return nil, fault.Wrap("can't write config.json", err)
	}
	return rep, nil
}

// Encode writes a configuration for people to edit: indented by tabs, with
// characters such as & as they are.
func Encode(s *specs.Spec) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(s); err != nil {
		return nil, fault.Wrap("can't write config.json", err)
	}
	return b.Bytes(), nil
}
