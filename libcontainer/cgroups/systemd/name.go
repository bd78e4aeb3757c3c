package systemd

import (
	"strconv"
	"strings"

	"berth/libcontainer/fault"
)

// ParsePath takes linux.cgroupsPath apart, which has the form slice:prefix:name here, and
// says which scope in which slice is meant. An empty one stands for the slice that
// systemd has for that, our own prefix, and the id.
func ParsePath(path, id string, user bool) (slice, unit string, err error) {
	slice, prefix, name := "", "berth", id
	if path != "" {
		f := strings.Split(path, ":")
		if len(f) != 3 {
			return "", "", fault.At("linux.cgroupsPath", `expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got `+strconv.Quote(path)+" instead")
		}
		slice, prefix, name = f[0], f[1], f[2]
	}
	switch {
	case slice == "" && user:
		slice = "user.slice"
	case slice == "":
		slice = "system.slice"
	case slice == "-":
		slice = "-.slice"
	}
	if _, err := ExpandSlice(slice); err != nil {
		return "", "", err
	}
	if name == "" || strings.ContainsAny(name, "/\x00") || strings.ContainsAny(prefix, "/\x00") {
		return "", "", fault.At("linux.cgroupsPath", "the name of a scope must not be empty, nor hold a slash: "+strconv.Quote(path))
	}
	if strings.HasSuffix(name, ".slice") {
		return "", "", fault.At("linux.cgroupsPath", "a container is a scope, and "+strconv.Quote(name)+" is the name of a slice")
	}
	if prefix != "" {
		name = prefix + "-" + name
	}
	if name += ".scope"; len(name) > 255 {
		return "", "", fault.At("linux.cgroupsPath", "the scope's name "+strconv.Quote(name)+" is longer than 255 bytes")
	}
	return slice, name, nil
}

// ExpandSlice is the path of a slice's cgroup: the dashes of a slice's name are the
// levels that it lies below (systemd.slice(5)).
func ExpandSlice(slice string) (string, error) {
	name, ok := strings.CutSuffix(slice, ".slice")
	wrong := fault.At("linux.cgroupsPath", "invalid slice name: "+strconv.Quote(slice))
	if !ok || name == "" || strings.ContainsAny(name, "/\x00") {
		return "", wrong
	}
	if name == "-" {
		return "/", nil
	}
	path, prefix := "", ""
	for part := range strings.SplitSeq(name, "-") {
		if part == "" {
			return "", wrong
		}
		path += "/" + prefix + part + ".slice"
		prefix += part + "-"
	}
	return path, nil
}
