package host

import (
	"bytes"
	"slices"
	"strings"
)

// ProcMounts are the places at which the caller sees a whole procfs or sysfs, but for
// those below except. A container that does not pivot_root keeps them in its mount
// namespace, below its root, and who finds one there that nothing covers may mount
// another in a user namespace of his own: with no mask on it.
func ProcMounts(except string) []string {
	return procMounts(read("/proc/self/mountinfo"), except)
}

func procMounts(mountinfo []byte, except string) []string {
	var list []string
	for line := range bytes.Lines(mountinfo) {
		before, after, ok := strings.Cut(string(line), " - ")
		f, typ := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(typ) == 0 || f[3] != "/" || typ[0] != "proc" && typ[0] != "sysfs" {
			continue
		}
		p := unescape(f[4])
		if below := p == except || strings.HasPrefix(p, except+"/"); !below && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}
