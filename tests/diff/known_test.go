package diff

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// known is a difference that is meant: where, from which peer, and why Berth is
// right, or at liberty.
type known struct {
	key  *regexp.Regexp
	peer string // runc, crun, or empty for either
	why  string
	// when, if set, must hold.
	when func(d difference, all results) bool
}

// argued says whether a difference is in the table.
func (all results) argued(d difference, used map[*known]int) bool {
	for _, k := range table {
		if k.key.MatchString(d.key) && (k.peer == "" || k.peer == d.name) && (k.when == nil || k.when(d, all)) {
			used[k]++
			return true
		}
	}
	return false
}

var re = regexp.MustCompile

// part is another part of the mount that a difference is about, as Berth has it.
func part(d difference, all results, name string) string {
	i := strings.LastIndexByte(d.key, ' ')
	return all["berth"][d.key[:i+1]+name]
}

// notRunc holds for a config that runc does not run as Berth does: crun is then the
// only peer, and 1.8.1 is no reference alone.
func notRunc(_ difference, all results) bool { return all["runc"]["exit"] != all["berth"]["exit"] }

// lessRO says whether two lists of flags are the same but for ro and rw.
func lessRO(a, b string) bool {
	swap := func(s string) string {
		l := strings.Split(s, ",")
		for i := range l {
			if l[i] == "ro" {
				l[i] = "rw"
			}
		}
		slices.Sort(l)
		return strings.Join(l, ",")
	}
	return a != b && swap(a) == swap(b)
}

// ignored are the signals that the tests themselves were started to ignore, a bit each
// as proc_pid_status(5) has them. Of these the peers reset some, as SIGHUP.
func ignored() uint64 {
	b, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(b), "\nSigIgn:\t")
	line, _, _ := strings.Cut(rest, "\n")
	mask, _ := strconv.ParseUint(line, 16, 64)
	return mask
}

var tmpfsMode = re(`(^|,)mode=[0-7]+`)

// table is what is known, for runc 1.1.5 and crun 1.8.1 as Debian 12 has them. The
// words are for whoever compares Berth with them.
var table = []*known{
	{
		re(``), "crun", "runc does as Berth does, and runc is what engines are written for",
		func(d difference, all results) bool { return !notRunc(d, all) && all["runc"][d.key] == d.berth },
	},
	// Files.
	{re(`^fd [012]$`), "runc", "in the foreground runc copies the standard files through pipes of its own", nil},
	{re(`^fd [012]$`), "crun", "crun gives the container's user files of the host too, /dev/null and those of other owners", nil},
	{
		re(`^status SigIgn$`), "", "what the caller ignores is not the config's: GNU make leaves signal 32 ignored",
		func(d difference, _ results) bool {
			theirs, err := strconv.ParseUint(d.peer, 16, 64)
			return d.berth == "0000000000000000" && err == nil && theirs&^ignored() == 0
		},
	},
	{re(`^keyring$`), "", "in a user namespace the peers leave out the right to view, or name the keyring otherwise: Berth gives the same everywhere", nil},
	// What hides.
	{
		re(`^mount .* (flags|super|type|root|spread)$`), "",
		"a masked file is covered by the host's /dev/null, read-only: runc and crun take the container's, which an image can prepare (CVE-2025-31133)",
		func(d difference, all results) bool { return part(d, all, "root") == "/null" },
	},
	{
		re(`^mount .* (flags|super|type|root|spread)$`), "",
		"a masked directory is covered by a tmpfs that has room for nothing and is nosuid, nodev, noexec as well; of a path that is write-protected too, either may be on top",
		func(d difference, all results) bool { return strings.Contains(part(d, all, "super"), "nr_inodes=1") },
	},
	{
		re(`^mounts$`), "runc", "readonlyPaths /: runc binds the tree over itself once more, where the root's own flags do",
		func(d difference, _ results) bool { return slices.Contains(d.only(false), "/'") },
	},
	{
		re(`^mounts$`), "", "Berth masks before it write-protects, so that a mask lies in both layers of a path below a write-protected one",
		func(d difference, _ results) bool {
			return len(d.only(false)) == 0 && !slices.ContainsFunc(d.only(true), func(p string) bool { return !strings.HasSuffix(p, "'") })
		},
	},
	// Flags.
	{
		re(`^mount .* super$`), "", "read-only is the mount's, not the file system's, which other mounts may share",
		func(d difference, all results) bool {
			return strings.Contains(part(d, all, "flags"), "ro") && lessRO(d.berth, d.peer)
		},
	},
	{
		re(`^mount .* super$`), "", "a tmpfs without a mode has that of its place: Berth makes it so, the peers change it afterwards",
		func(d difference, _ results) bool {
			return strings.Trim(tmpfsMode.ReplaceAllString(d.berth, ""), ",") == d.peer
		},
	},
	{
		re(`^path .*`), "runc", "a tmpfs with a mode: runc 1.1.5 gives it that of its place all the same",
		func(d difference, _ results) bool { return strings.Contains(d.berth, " 711 ") || d.berth == "(EACCES)" },
	},
	{
		re(`^(mount .* flags|path .* write)$`), "runc", "ro of a tmpfs that a later entry covers: runc finds what is on top by its path, and makes that read-only",
		func(d difference, all results) bool {
			place := "mount " + strings.TrimRight(strings.Fields(d.key)[1], "'")
			under, over := all["berth"][place+" flags"], all["berth"][place+"' flags"]
			return strings.Contains(under, "ro") && strings.Contains(over, "rw") &&
				(lessRO(d.berth, d.peer) || strings.Contains(d.peer, "ro") || d.peer == "(EROFS)")
		},
	},
	{
		re(`^mount /sys/fs/cgroup'* flags$`), "", "the config asks for ro, which the peers give to the hierarchies below alone",
		func(d difference, _ results) bool { return lessRO(d.berth, d.peer) && strings.Contains(d.berth, "ro") },
	},
	{
		re(`^mount /dev/\w+ (flags|spread)$`), "",
		"a device that is bound in a user namespace is private and read-only: its root could change the owner and mode of the host's node",
		func(d difference, all results) bool { return strings.HasSuffix(part(d, all, "type"), "tmpfs") },
	},
	// Propagation.
	{
		re(`^mount .* spread$`), "",
		"what comes from the host is no peer of the host's mounts unless its own options ask for it, whatever rootfsPropagation says of the root: what is mounted below would appear on the host",
		func(d difference, _ results) bool {
			return strings.Contains(d.berth, "master") && strings.HasPrefix(d.peer, "shared")
		},
	},
	{
		re(`^mount .* spread$`), "runc", "rootfsPropagation shared: runc 1.1.5 leaves the root private",
		func(d difference, _ results) bool { return d.berth == "shared" && d.peer == "" },
	},
	// cgroups.
	{
		re(`^control devices/devices.list$`), "runc", "runc does not allow a default device that linux.devices lists too: making it would be of no use",
		func(d difference, _ results) bool { return len(d.only(false)) == 0 },
	},
	{
		re(`^control devices/devices.list$`), "crun", "without linux.resources crun sets no device rules at all: each device of the host can be opened",
		func(d difference, _ results) bool { return d.peer == "a *:* rwm" },
	},
	{
		re(`^control devices/devices.list$`), "crun", "crun allows /dev/console by number too, and not /dev/net/tun, which runc does",
		func(d difference, _ results) bool { return strings.Contains(d.peer, "c 5:1 rwm") },
	},
	// How it ends.
	{
		re(`^exit$`), "runc", "in a user namespace runc 1.1.5 does not keep the flags of a bind source that are locked there, and the kernel refuses it",
		func(d difference, all results) bool {
			said := all["runc"]["said"]
			return d.berth == "0" && strings.Contains(said, "to rootfs at") && strings.Contains(said, "operation not permitted")
		},
	},
	{
		re(`^exit$`), "crun", "in a user namespace crun makes a device that the host has none of at that path; runc and Berth bind the host's",
		func(_ difference, all results) bool {
			return strings.Contains(all["berth"]["said"], "cannot clone the host's /dev/")
		},
	},
	{re(`^[^l]`), "crun", "a config that runc does not run as Berth does: crun 1.8.1 alone is no reference, but for what it leaves", notRunc},
}
