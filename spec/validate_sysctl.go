package spec

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// SysctlPath returns the path below /proc/sys that a key of linux.sysctl means,
// or an empty string where it means none. As with sysctl(8), whichever of . and /
// comes first separates, and the other one stands for the first in a name: both
// net.ipv4.conf.eno2/100.rp_filter and net/ipv4/conf/eno2.100/rp_filter are
// net/ipv4/conf/eno2.100/rp_filter.
func SysctlPath(key string) string {
	path := key
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '.' {
		swapped := []byte(key)
		for i, b := range swapped {
			switch b {
			case '.':
				swapped[i] = '/'
			case '/':
				swapped[i] = '.'
			}
		}
		path = string(swapped)
	}
	for _, name := range strings.Split(path, "/") {
		if name == "" || name == "." || name == ".." || strings.IndexByte(name, 0) >= 0 {
			return ""
		}
	}
	return path
}

// sysctlNamespace returns the kind of namespace that a sysctl belongs to, or an
// empty string where it belongs to the whole machine.
func sysctlNamespace(path string) specs.LinuxNamespaceType {
	switch path {
	case "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax",
		"kernel/shmmni", "kernel/shm_rmid_forced", "kernel/auto_msgmni", "kernel/msg_next_id",
		"kernel/sem_next_id", "kernel/shm_next_id":
		return specs.IPCNamespace
	case "kernel/domainname":
		return specs.UTSNamespace
	}
	switch first, _, _ := strings.Cut(path, "/"); first {
	case "net":
		return specs.NetworkNamespace
	case "user":
		return specs.UserNamespace
	}
	if strings.HasPrefix(path, "fs/mqueue/") {
		return specs.IPCNamespace
	}
	return ""
}

// checkSysctl is SEC-1 and SEC-2. What is not in a namespace of the container's
// own would change the host, for everybody.
func (c *checker) checkSysctl(m map[string]string) {
	seen := make(map[string]string, len(m))
	for _, key := range keys(m) {
		at := field("linux.sysctl", key)
		c.noNUL(at, m[key])
		path := SysctlPath(key)
		kind := sysctlNamespace(path)
		switch {
		case path == "":
			c.add(at, "sysctl "+quote(key)+" names nothing below /proc/sys")
		case path == "kernel/hostname":
			c.add(at, "sysctl "+quote(key)+" conflicts with the property hostname, which does the same")
		case kind == "" || !c.has(kind):
			c.add(at, "sysctl "+quote(key)+" is not in a separate kernel namespace")
		case seen[path] != "":
			c.add(at, "sysctl "+quote(key)+" is the same as "+quote(seen[path]))
		}
		seen[path] = key
	}
}
