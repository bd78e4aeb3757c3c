package compile

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"berth/spec"
)

// mountOptions is a mount's option list, read from left to right: later ones win,
// but for the access time's, see atime.
type mountOptions struct {
	// set and clr are MOUNT_ATTR_* flags for the mount itself; the others for
	// it and all below it.
	set, clr       uint64
	recSet, recClr uint64
	atime, recTime atime
	bind, rbind    bool
	remount        bool
	propagations   []uint64 // MS_* with MS_REC
	super          []string // flags of the file system: sync, dirsync, ...
	readonly       bool
	data           []string // what the file system itself understands
	copyUp         bool
	idmap, ridmap  bool
}

// attrOption is a word of the option table: which flag it sets or clears.
type attrOption struct {
	word  string
	flag  uint64
	clear bool
}

// attrOptions are the words about the mount (runtime-spec config.md, Linux mount
// options). With an "r" before it each is recursive.
var attrOptions = [...]attrOption{
	{"ro", unix.MOUNT_ATTR_RDONLY, false},
	{"rw", unix.MOUNT_ATTR_RDONLY, true},
	{"nosuid", unix.MOUNT_ATTR_NOSUID, false},
	{"suid", unix.MOUNT_ATTR_NOSUID, true},
	{"nodev", unix.MOUNT_ATTR_NODEV, false},
	{"dev", unix.MOUNT_ATTR_NODEV, true},
	{"noexec", unix.MOUNT_ATTR_NOEXEC, false},
	{"exec", unix.MOUNT_ATTR_NOEXEC, true},
	{"nodiratime", unix.MOUNT_ATTR_NODIRATIME, false},
	{"diratime", unix.MOUNT_ATTR_NODIRATIME, true},
	{"nosymfollow", unix.MOUNT_ATTR_NOSYMFOLLOW, false},
	{"symfollow", unix.MOUNT_ATTR_NOSYMFOLLOW, true},
	{"relatime", atimeRel, false},
	{"norelatime", atimeRel, true},
	{"noatime", unix.MOUNT_ATTR_NOATIME, false},
	{"atime", unix.MOUNT_ATTR_NOATIME, true},
	{"strictatime", unix.MOUNT_ATTR_STRICTATIME, false},
	{"nostrictatime", unix.MOUNT_ATTR_STRICTATIME, true},
}

// atimeRel stands for MOUNT_ATTR_RELATIME, which is zero: the access time
// settings are one field of three values.
const atimeRel = 1 << 63

func findAttr(word string) (attrOption, bool) {
	for _, o := range attrOptions {
		if o.word == word {
			return o, true
		}
	}
	return attrOption{}, false
}

// parseOptions reads an option list.
func parseOptions(list []string) *mountOptions {
	o := &mountOptions{}
	for _, word := range list {
		o.add(word)
	}
	o.atime.apply(&o.set, &o.clr)
	o.recTime.apply(&o.recSet, &o.recClr)
	return o
}

func (o *mountOptions) add(word string) {
	if a, ok := findAttr(word); ok {
		apply(&o.set, &o.clr, &o.atime, a)
		if a.flag == unix.MOUNT_ATTR_RDONLY {
			o.readonly = !a.clear
		}
		return
	}
	if rest, ok := strings.CutPrefix(word, "r"); ok {
		if a, ok := findAttr(rest); ok {
			apply(&o.recSet, &o.recClr, &o.recTime, a)
			return
		}
	}
	if flag, rec, ok := propagation(word); ok {
		if rec {
			flag |= unix.MS_REC
		}
		o.propagations = append(o.propagations, flag)
		return
	}
	switch word {
	case "", "defaults", "silent", "loud":
		// silent and loud are about kernel messages at mount(2), which the new
		// mount calls do not print.
	case "bind":
		o.bind = true
	case "rbind":
		o.bind, o.rbind = true, true
	case "remount":
		o.remount = true
	case "sync", "dirsync", "lazytime", "mand", "async", "nolazytime", "nomand":
		o.super = append(o.super, word)
	case "iversion", "noiversion":
		o.super = append(o.super, word)
	case "tmpcopyup":
		o.copyUp = true
	case "idmap":
		o.idmap = true
	case "ridmap":
		o.ridmap = true
	default:
		o.data = append(o.data, word)
	}
}

// unsupported says what of the options is not done yet; empty for nothing.
func (o *mountOptions) unsupported() string {
	switch {
	case o.idmap || o.ridmap:
		return "id-mapped mounts are"
	case o.copyUp:
		return "the mount option tmpcopyup is"
	}
	return ""
}

// MountOptions are the options that this version does itself, in order, as features
// lists them. Any other is a parameter of the file system.
func MountOptions() []string {
	return slices.DeleteFunc(spec.MountOptions(), func(word string) bool {
		o := parseOptions([]string{word})
		return len(o.data) > 0 || o.unsupported() != ""
	})
}

// has says whether the options have a parameter of the file system.
func (o *mountOptions) has(key string) bool {
	for _, d := range o.data {
		if k, _, _ := strings.Cut(d, "="); k == key {
			return true
		}
	}
	return false
}

// shared says whether the mount is to be shared.
func (o *mountOptions) shared() bool {
	shared := false
	for _, p := range o.propagations {
		shared = shared || p&unix.MS_SHARED != 0
	}
	return shared
}

// atime are the words about the access time that are in force. They are three values
// of one field, and which of several holds is not a matter of order: mount(2), and so
// every runtime before, has strictatime before noatime before relatime.
type atime struct{ relatime, noatime, strictatime, given bool }

// set takes a word in.
func (t *atime) set(a attrOption) {
	switch a.flag {
	case atimeRel:
		t.relatime = !a.clear
		if a.clear {
			// There is no mount without one of the three: to take relatime back leaves
			// the source's, and a new mount the kernel's own, relatime.
			return
		}
	case unix.MOUNT_ATTR_NOATIME:
		t.noatime = !a.clear
	case unix.MOUNT_ATTR_STRICTATIME:
		t.strictatime = !a.clear
	}
	t.given = true
}

// apply adds to flags what holds. To set one the kernel wants the whole field cleared
// (mount_setattr(2)).
func (t *atime) apply(set, clr *uint64) {
	if !t.given {
		return
	}
	*clr |= unix.MOUNT_ATTR__ATIME
	switch {
	case t.strictatime:
		*set |= unix.MOUNT_ATTR_STRICTATIME
	case t.noatime:
		*set |= unix.MOUNT_ATTR_NOATIME
	}
}

// apply sets or clears one flag.
func apply(set, clr *uint64, t *atime, a attrOption) {
	switch a.flag {
	case atimeRel, unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR_STRICTATIME:
		t.set(a)
	default:
		if a.clear {
			*set &^= a.flag
			*clr |= a.flag
		} else {
			*set |= a.flag
			*clr &^= a.flag
		}
	}
}
